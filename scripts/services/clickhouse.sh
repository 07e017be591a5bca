# ClickHouse: the real server out of the library that the npm package of chdb ships. Sourced by scripts/stack.
#
# Known differences from a packaged server: users only from clickhouse_users.xml (nothing keeps those made by SQL), no system.query_log, and
# async_insert is accepted but inserts at once. Pinned, because not every version can listen.

clickhouse_ports=1
clickhouse_stop_signal=TERM # INT does not end it
clickhouse_abandon_signal=KILL
clickhouse_version=26.7.3-stable.1

clickhouse_folder() { printf '%s/clickhouse-%s\n' "$cache" "$clickhouse_version"; }

clickhouse_package() {
    case $(uname -m) in
        aarch64 | arm64) echo @chdb/lib-linux-arm64-gnu ;;
        *) echo @chdb/lib-linux-x64-gnu ;;
    esac
}

clickhouse_missing() {
    [ ! -e "$(clickhouse_folder)/ok" ] || return 0
    need npm npm
    need cc gcc
    # The launcher includes dlfcn.h.
    ! has cc || cc -E -include dlfcn.h -x c /dev/null >/dev/null 2>&1 || echo libc6-dev
}

clickhouse_install() {
    local folder new
    folder=$(clickhouse_folder)
    new=$folder.new
    [ ! -e "$folder/ok" ] || return 0
    say "fetching ClickHouse $clickhouse_version (180 MB)"
    rm -rf "$folder" "$new"
    mkdir -p "$new"
    echo '{}' > "$new/package.json"
    (cd "$new" && quietly npm install --no-save --no-audit --no-fund "$(clickhouse_package)@$clickhouse_version")
    mv "$new/node_modules/$(clickhouse_package)/libchdb.so" "$new/libchdb.so"
    rm -rf "$new/node_modules"
    quietly cc -O1 -Wall -o "$new/clickhouse" "$services/clickhouse.c" -ldl
    touch "$new/ok"
    mv "$new" "$folder"
}

clickhouse_prepare() {
    echo "<clickhouse><users_config>$services/clickhouse_users.xml</users_config></clickhouse>" > "$1/config.xml"
}

# It serves for as long as its query runs: ten years of sleep.
clickhouse_command() {
    local folder=$1 port=$2 program
    program=$(clickhouse_folder)
    command=("$program/clickhouse" "$program/libchdb.so" "--config-file=$folder/config.xml" "--path=$folder/data" "--http_port=$port" --listen_host=127.0.0.1
        "--query=CREATE DATABASE IF NOT EXISTS hookflow ENGINE = Atomic; SYSTEM START LISTEN HTTP;
            SELECT sleepEachRow(1) FROM numbers(315360000) SETTINGS max_block_size = 1 FORMAT Null")
}

clickhouse_ready() {
    local folder=$1 port=$2 pid
    pid=$(pid_in "$folder/pid") && listens "$pid" "$port" && ask "$port" 'GET /ping HTTP/1.0\r\n\r\n' | grep -q '^Ok\.'
}

clickhouse_environment() {
    echo "HOOKFLOW_CLICKHOUSE_URL=http://127.0.0.1:$2"
    echo "HOOKFLOW_TEST_CLICKHOUSE_PASSWORD=correct-horse"
}

clickhouse_sweep() { :; }
