# The same stack out of scripts/compose.yaml, where a Docker engine answers and STACK_NATIVE is not set. Sourced by
# scripts/stack. DIR/project names the Compose project, DIR/compose.env its ports. There are no servers with TLS here.

compose_file=${services%/services}/compose.yaml

# docker_answers: an engine, and a client that knows Compose.
docker_answers() {
    [ -z "${STACK_NATIVE:-}" ] && [ "${STACK_TLS:-}" != 1 ] && has docker &&
        timeout 3 docker info >/dev/null 2>&1 && timeout 3 docker compose version >/dev/null 2>&1
}

by_docker() { [ -e "$dir/project" ]; }

# compose ARGUMENT…: on this stack's project.
compose() { compose_in "$dir" "$@"; }

compose_in() {
    local stack=$1
    shift
    docker compose --project-name "$(cat "$stack/project")" --env-file "$stack/compose.env" --file "$compose_file" "$@" \
        < /dev/null >&2 8>&- 9>&-
}

# docker_start SERVICE…: false when one of them does not become healthy. Another program may take a port first: try again.
docker_start() {
    local attempt
    [ -e "$dir/project" ] || basename "$dir" | tr '[:upper:].' '[:lower:]-' > "$dir/project"
    for attempt in 1 2 3; do
        [ -e "$dir/docker/environment" ] || docker_settings > "$dir/compose.env"
        if compose up --detach --wait --wait-timeout "${STACK_TIMEOUT:-300}" --quiet-pull "$@"; then
            mkdir -p "$dir/docker"
            docker_environment "$@" >> "$dir/docker/environment"
            sort -uo "$dir/docker/environment" "$dir/docker/environment"
            return 0
        fi
        [ ! -e "$dir/docker/environment" ] || break
        say "attempt $attempt failed"
        compose down --volumes --timeout 1 || true
    done
    compose logs --tail 20 || true
    return 1
}

docker_settings() {
    local name
    for name in "${default_services[@]}"; do echo "HOOKFLOW_${name^^}_PORT=$(free_port)"; done
    if [ -e "$dir/fast" ]; then echo HOOKFLOW_POSTGRES_FSYNC=off; fi
}

docker_port() { sed -n "s/^HOOKFLOW_${1^^}_PORT=//p" "$dir/compose.env"; }

docker_environment() {
    local name port
    for name; do
        port=$(docker_port "$name")
        case $name in
            postgres)
                echo "HOOKFLOW_POSTGRES_URL=postgres://postgres:correct-horse@127.0.0.1:$port/hookflow"
                echo "HOOKFLOW_POSTGRES_PASSWORD_URL=postgres://postgres:correct-horse@127.0.0.1:$port/hookflow"
                ;;
            clickhouse | nats | kafka) "${name}_environment" "$dir" "$port" ;;
        esac
    done
}

docker_control() {
    case $1 in
        kill) compose kill "$2" ;;
        stop) compose stop --timeout 60 "$2" ;;
        start) compose up --detach --wait --no-recreate "$2" ;;
        pause) compose pause "$2" ;;
        resume) compose unpause "$2" ;;
    esac
}

# docker_tear_down DIR: containers and their data.
docker_tear_down() { compose_in "$1" down --volumes --timeout 1 2>/dev/null || say "docker compose down failed for $1"; }

# check_compose: compose.yaml is valid and offers nothing beyond this machine. Needs a client, no engine.
check_compose() {
    local client
    mapfile -t client < <(compose_client)
    ((${#client[@]})) || die "no Docker Compose client, so compose.yaml was not checked: install docker-compose"
    "${client[@]}" --file "$compose_file" config --quiet
    if "${client[@]}" --file "$compose_file" config | grep -A 4 'mode: ingress' | grep 'host_ip:' | grep -v 127.0.0.1; then
        die "compose.yaml offers a port to other machines"
    fi
    say "compose.yaml is valid"
}

# compose_client: its words, a line each; fetched into the cache when this machine has none and can.
compose_client() {
    local fetched=$cache/docker-compose
    if docker compose version >/dev/null 2>&1; then
        printf '%s\n' docker compose
    elif has docker-compose; then
        echo docker-compose
    elif [ -x "$fetched" ] || fetch_compose "$fetched"; then
        printf '%s\n' "$fetched"
    fi
}

fetch_compose() {
    local work
    debian_archive >/dev/null || return 1
    say "fetching the Docker Compose client"
    work=$(mktemp -d)
    mkdir -p "$cache"
    unpack_debian trixie docker-compose "$work"
    mv "$work/usr/libexec/docker/cli-plugins/docker-compose" "$1"
    rm -rf "$work"
}
