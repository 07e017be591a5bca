# PostgreSQL 15 or newer. Sourced by scripts/stack. A cluster is initialised once, into the cache, and copied.

postgres_ports=1
postgres_stop_signal=INT    # fast shutdown; TERM would wait for clients to leave
postgres_abandon_signal=QUIT # no checkpoint, but its shared memory is given back

# postgres_programs: the folder of the newest server on this machine.
postgres_programs() {
    local folder
    while read -r folder; do
        if [ -x "$folder/postgres" ] && [ "$(postgres_major "$folder")" -ge 15 ]; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV; dirname "$(command -v postgres || echo /missing/none)")
    return 1
}

postgres_major() { "$1/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'; }

postgres_missing() { [ -n "$(postgres_programs)" ] || echo postgresql; }

# as_postgres COMMAND…: the server refuses to run as root, so root runs it as the package's user.
as_postgres() { "${postgres_user[@]}" "$@"; }

postgres_user=()
if [ "$(id -u)" = 0 ]; then postgres_user=(setpriv --reuid=postgres --regid=postgres --init-groups); fi

postgres_template() { printf '%s/postgres-%s-%s\n' "$cache" "$(postgres_major "$1")" "$(id -u)"; }

postgres_install() {
    local programs template scratch
    programs=$(postgres_programs)
    template=$(postgres_template "$programs")
    [ ! -e "$template" ] || return 0
    say "initialising a Postgres cluster"
    scratch=$(mktemp -d "$scratch_root/hookflow-stack-initdb-XXXXXX")
    postgres_give "$scratch"
    # From the root folder: the server's user may not be allowed to stand where the caller stands.
    (
        cd /
        quietly as_postgres "$programs/initdb" -D "$scratch/data" -A trust -U postgres -E UTF8 --no-locale --no-sync
        as_postgres "$programs/postgres" --single -D "$scratch/data" postgres >/dev/null 2>&1 <<< "$(postgres_contents)"
    )
    echo "$postgres_access" > "$scratch/data/pg_hba.conf"
    cp -a "$scratch/data" "$template.new"
    rm -rf "$scratch"
    mv "$template.new" "$template"
}

# One statement a line: that is how the single-user server reads.
postgres_contents() {
    echo "CREATE ROLE app LOGIN PASSWORD 'correct-horse'"
    echo "CREATE DATABASE hookflow"
    echo "GRANT ALL ON DATABASE hookflow TO app"
}

# Role `app` is there for tests of passwords; everybody else on this machine is trusted.
postgres_access="
    host all app 127.0.0.1/32 scram-sha-256
    host all all 127.0.0.1/32 trust"

postgres_give() { if [ "$(id -u)" = 0 ]; then chown postgres "$1"; fi; }

postgres_prepare() {
    local folder=$1
    if [ -e "$folder/data" ]; then
        postgres_unlock "$folder"
        return
    fi
    postgres_give "$folder"
    as_postgres test -x "$folder" || die "user postgres may not enter $folder: give a folder that it can (--dir, TMPDIR)"
    cp -a "$(postgres_template "$(postgres_programs)")" "$folder/data.new"
    mv "$folder/data.new" "$folder/data"
}

# postgres_unlock FOLDER: after a crash the pid file names a process that may still be a zombie, which the server takes
# for alive. The backends, which stand in the data folder, must be gone before the lock is taken away.
postgres_unlock() {
    local deadline=$((SECONDS + 5))
    while [ -n "$(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1/data" 2>/dev/null)" ] && ((SECONDS < deadline)); do sleep 0.02; done
    postgres_sweep "$1"
    rm -f "$1/data/postmaster.pid"
}

postgres_command() {
    local folder=$1 port=$2
    command=("${postgres_user[@]}" "$(postgres_programs)/postgres" -D "$folder/data" -p "$port"
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100
        -c dynamic_shared_memory_type=mmap)
    if [ -e "$dir/fast" ]; then command+=(-c fsync=off); fi
    local more
    read -ra more <<< "${STACK_POSTGRES_OPTIONS:-}"
    command+=("${more[@]}")
}

# The server writes its own state into its pid file: nobody else's server on that port is taken for ours.
postgres_ready() {
    local folder=$1 port=$2 pid
    pid=$(pid_in "$folder/pid") || return 1
    awk -v pid="$pid" 'NR == 1 && $1 != pid { exit 1 } NR == 8 && $1 == "ready" { ready = 1 } END { exit !ready }' \
        "$folder/data/postmaster.pid" 2>/dev/null && "$(postgres_programs)/pg_isready" -q -h 127.0.0.1 -p "$port"
}

postgres_environment() {
    local port=$2
    echo "HOOKFLOW_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/hookflow"
    echo "HOOKFLOW_POSTGRES_PASSWORD_URL=postgres://app:correct-horse@127.0.0.1:$port/hookflow"
}

# postgres_sweep FOLDER: a server that was killed leaves a small segment of shared memory, named in its pid file.
postgres_sweep() {
    local id
    id=$(awk 'NR == 7 { print $2 }' "$1/data/postmaster.pid" 2>/dev/null) || return 0
    if [ -n "$id" ]; then ipcrm -m "$id" 2>/dev/null || true; fi
}
