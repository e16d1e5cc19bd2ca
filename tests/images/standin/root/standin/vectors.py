"""Nearest neighbours for stand-ins of vector databases, kept in one JSON file."""

import json
import math
import os


class Collections:
    """Collections of points; each point is {"vector": [...], ...} under its id."""

    def __init__(self, path):
        self.path = path
        self.all = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.all = json.load(file)

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.all, file)
        os.replace(self.path + ".new", self.path)

    def create(self, name):
        self.all.setdefault(name, {})
        self.save()

    def drop(self, name):
        found = self.all.pop(name, None)
        self.save()
        return found is not None

    def put(self, name, key, point):
        self.all[name][str(key)] = point
        self.save()

    def take(self, name, key):
        self.all[name].pop(str(key), None)
        self.save()

    def nearest(self, name, vector, limit):
        """[(distance, id, point)], the nearest first, by Euclidean distance."""
        found = [(math.dist(vector, point["vector"]), key, point) for key, point in self.all[name].items()]
        return sorted(found, key=lambda entry: entry[0])[:limit]
