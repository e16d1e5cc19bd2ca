// node leave-out.js LOCK LIST REGISTRY: rewrites the lock file without what the list leaves out and what only
// that needs, and prints where each package would be that is left out and asked for.
// Each package also gets its address at the registry: without it, npm asks for the list of all its versions.
const fs = require('node:fs');

const [file, list, registry] = process.argv.slice(2);
const lock = JSON.parse(fs.readFileSync(file, 'utf8'));
const { packages } = lock;
const kinds = ['dependencies', 'optionalDependencies', 'peerDependencies'];
const listed = new Set(fs.readFileSync(list, 'utf8').split('\n').filter((line) => line && !line.startsWith('#')));
const nameOf = (path) => path.split('node_modules/').pop();

// The package that is found under a name from inside another, as Node looks for it.
const find = (from, name) => {
    for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
        const path = `${folder && `${folder}/`}node_modules/${name}`;
        if (path in packages || !folder) return path;
    }
};

const used = new Set();
const kept = new Set(['']);
const without = new Set();
for (const path of kept) {
    const entry = packages[path];
    for (const kind of kinds) {
        for (const name of Object.keys(entry[kind] ?? {})) {
            const found = find(path, name);
            const match = [name, found].find((one) => listed.has(one));
            if (match) {
                delete entry[kind][name];
                used.add(match);
                without.add(found);
            } else if (found in packages) {
                kept.add(found);
                // Else npm would drop what only such dependencies are left to ask for.
                if (kind === 'peerDependencies') delete entry.peerDependenciesMeta?.[name];
            }
        }
    }
    if (path) {
        const name = entry.name ?? nameOf(path);
        entry.resolved = `${registry}${name}/-/${name.split('/').pop()}-${entry.version}.tgz`;
    }
}

const unknown = [...listed].filter((one) => !used.has(one));
if (unknown.length > 0) throw new Error(`nothing asks for what is to be left out: ${unknown.join(', ')}`);
for (const path of Object.keys(packages)) if (!kept.has(path)) delete packages[path];
fs.writeFileSync(file, JSON.stringify(lock));
console.log([...without].join('\n'));
