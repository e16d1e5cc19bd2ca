# The guest goes down in an orderly way; 81 looks at what came back.
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

remember() {
    docker ps --format '{{.Names}}' | sort >"$progress/running-before"
    [ -s "$progress/running-before" ]
}
step containers-run-before-the-reboot remember
then_reboot
