# `selftest`: what scripts/stack promises, tried on real servers in a folder of its own. Sourced by scripts/stack.

selftest() {
    require_linux
    unset HOOKFLOW_STACK_DIR HOOKFLOW_STACK_RUN
    stack=$services/../stack
    passed=0
    failed=0
    timed "install" "$stack" install
    dir=$(mktemp -d "$scratch_root/hookflow-stack-selftest-XXXXXX")
    trap 'tear_down "$dir"' EXIT
    timed "up" "$stack" --dir "$dir" up
    while IFS= read -r line; do export "${line?}"; done < <(environment)
    for name in "${default_services[@]}"; do
        expect "$name answers" "answers_$name"
    done
    expect "up again changes nothing" up_again
    for name in "${default_services[@]}"; do selftest_faults "$name"; done
    expect "what was not killed is not restarted" "$stack" --dir "$dir" status
    timed "down" "$stack" --dir "$dir" down
    expect "down leaves nothing" nothing_left "$dir"
    unset HOOKFLOW_STACK_DIR
    selftest_run
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
    ((failed == 0))
}

# expect WHAT COMMAND…
expect() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n%s\n' "$what" "$output"
    fi
}

# timed WHAT COMMAND…: expect, with its duration.
timed() {
    local what=$1 begin=${EPOCHREALTIME/./}
    shift
    expect "$what" "$@"
    printf '        %s took %s ms\n' "$what" "$(((${EPOCHREALTIME/./} - begin) / 1000))"
}

port_of() { cut -d' ' -f1 "$dir/$1/ports"; }

answers_postgres() { [ "$(sql 'SELECT 1')" = 1 ]; }
answers_clickhouse() { ask "$(port_of clickhouse)" 'GET /ping HTTP/1.0\r\n\r\n' | grep -q '^Ok\.'; }
answers_nats() { nats_answer "$(port_of nats)" | grep -q '"jetstream":true'; }
answers_kafka() { kafka_metadata | grep -aq 127.0.0.1; }

sql() { "$(postgres_programs)/psql" "$HOOKFLOW_POSTGRES_URL" -XAtqc "$1"; }

# clickhouse_query SQL: by POST, as it may write.
clickhouse_query() { ask "$(port_of clickhouse)" "POST / HTTP/1.0\\r\\nContent-Length: ${#1}\\r\\n\\r\\n$1" | tail -n 1; }

# nats_request SUBJECT PAYLOAD: prints the reply.
nats_request() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 3 bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$1"
        printf "CONNECT {\"verbose\":false}\r\nSUB reply 1\r\nPUB %s reply %s\r\n%s\r\n" "$2" "${#3}" "$3" >&3
        while IFS= read -r line <&3; do case $line in "{"*) printf "%s\n" "$line"; exit ;; esac; done' \
        nats "$(port_of nats)" "$1" "$2"
}

# kafka_request BYTES COUNT: sends the request (printf escapes, without its length) and prints COUNT bytes of the answer.
kafka_request() {
    local length
    length=$(printf '%b' "$1" | wc -c)
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 5 bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$1"; printf "$2$3" >&3; head -c "$4" <&3' \
        kafka "$(port_of kafka)" "$(printf '\\x00\\x00\\x00\\x%02x' "$length")" "$1" "$2"
}

# Key, version, correlation, client's name; then for Metadata 4: all topics, none created. It names broker and topics.
kafka_metadata() { kafka_request '\x00\x03\x00\x04\x00\x00\x00\x07\x00\x05stack\xff\xff\xff\xff\x00' "${1:-40}"; }

# CreateTopics 2: one topic "kept", one partition, one copy, nothing assigned or set; 5 s; not only to validate.
kafka_create_topic() {
    kafka_request '\x00\x13\x00\x02\x00\x00\x00\x08\x00\x05stack\x00\x00\x00\x01\x00\x04kept\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x13\x88\x00' 22
}

keep_postgres() { sql 'CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number'; }
kept_postgres() { [ "$(sql 'SELECT count(*) FROM kept')" = 1000 ]; }
keep_clickhouse() {
    clickhouse_query 'CREATE TABLE hookflow.kept (number UInt64) ENGINE = MergeTree ORDER BY number'
    clickhouse_query 'INSERT INTO hookflow.kept SELECT number FROM numbers(1000)'
}
kept_clickhouse() { [ "$(clickhouse_query 'SELECT count() FROM hookflow.kept')" = 1000 ]; }
# shellcheck disable=SC2016 # NATS' own names begin with a dollar
keep_nats() {
    nats_request '$JS.API.STREAM.CREATE.kept' '{"name":"kept","subjects":["kept"]}'
    nats_request kept message
}
# shellcheck disable=SC2016
kept_nats() { nats_request '$JS.API.STREAM.INFO.kept' '' | grep -q '"messages":1,'; }
keep_kafka() { kafka_create_topic | grep -aq kept; }
kept_kafka() { kafka_metadata 80 | grep -aq kept; }

selftest_faults() {
    local name=$1
    expect "$name takes data" "keep_$name"
    expect "$name: kill" "$stack" --dir "$dir" kill "$name"
    expect "$name: nobody answers after kill" not answers "$(port_of "$name")"
    timed "$name: start after kill" "$stack" --dir "$dir" start "$name"
    expect "$name has its data after kill" "kept_$name"
    timed "$name: stop" "$stack" --dir "$dir" stop "$name"
    timed "$name: start after stop" "$stack" --dir "$dir" start "$name"
    expect "$name has its data after stop" "kept_$name"
    expect "$name: pause" "$stack" --dir "$dir" pause "$name"
    expect "$name is silent while it is paused" not timeout 2 "$BASH" -c "$(declare -f); $(declare -p dir); answers_$name"
    expect "$name: resume" "$stack" --dir "$dir" resume "$name"
    expect "$name has its data after resume" "kept_$name"
}

not() { ! "$@"; }

up_again() {
    local before
    before=$(cat "$dir"/*/pid)
    "$stack" --dir "$dir" up >/dev/null && [ "$before" = "$(cat "$dir"/*/pid)" ]
}

# nothing_left DIR: no folder, and no process that was started for it, within 5 seconds.
nothing_left() {
    local deadline=$((SECONDS + 5))
    while [ -e "$1" ] || [ -n "$(processes_of "$1")" ]; do
        if ((SECONDS >= deadline)); then
            ls -d "$1"
            processes_of "$1"
            return 1
        fi
        sleep 0.1
    done
}

# processes_of DIR: those that name it in their command line or environment, or stand in it.
processes_of() {
    local file
    for file in $(grep -lsaF "$1" /proc/[0-9]*/cmdline /proc/[0-9]*/environ) \
        $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1*" 2>/dev/null); do
        file=${file#/proc/}
        # Not the search itself.
        if start_time "${file%%/*}" >/dev/null; then echo "${file%%/*}"; fi
    done
}

selftest_run() {
    timed "run" "$stack" run -- true
    expect "the exit code is the command's" exit_code 7
    expect "killed with -9, run leaves nothing" killed_run exec
    expect "whose caller is killed with -9, run leaves nothing" killed_run
    expect "killed while it starts, run leaves nothing" killed_early
}

exit_code() {
    local code=0
    "$stack" run nats -- sh -c "exit $1" || code=$?
    [ "$code" = "$1" ]
}

# killed_run [exec]: with `exec` the process that is killed is the script itself, without it the script's caller.
killed_run() {
    local report started caller
    report=$(mktemp)
    # shellcheck disable=SC2016 # expanded by the command's shell
    # The command leaves a process behind that has left its group.
    "$BASH" -c "${1:-} \"\$@\"; true" caller "$stack" run -- sh -c 'setsid sleep 1000 & echo "$HOOKFLOW_STACK_DIR" > "$0"; sleep 1000' \
        "$report" > /dev/null 2>&1 &
    caller=$!
    until started=$(cat "$report") && [ -n "$started" ]; do
        start_time "$caller" >/dev/null || return 1
        sleep 0.1
    done
    rm "$report"
    kill -KILL "$caller"
    wait "$caller" 2>/dev/null || true
    nothing_left "$started"
}

killed_early() {
    local delay root
    root=$(mktemp -d "$scratch_root/hookflow-selftest-XXXXXX")
    chmod 755 "$root"
    for delay in 0.1 0.2 0.4 0.8; do
        TMPDIR=$root "$stack" run -- sleep 1000 > /dev/null 2>&1 &
        sleep "$delay"
        kill -KILL "$!"
        wait "$!" 2>/dev/null || true
    done
    # What had no guard yet is an empty folder; the last guard is still at work.
    delay=$((SECONDS + 5))
    until find "$root" -mindepth 1 -maxdepth 1 -empty -delete 2>/dev/null && rmdir "$root" 2>/dev/null; do
        ((SECONDS < delay)) || break
        sleep 0.1
    done
    nothing_left "$root"
}
