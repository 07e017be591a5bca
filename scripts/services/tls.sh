# Servers that want TLS and passwords, for tests of refusals (STACK_TLS=1). Sourced by scripts/stack.
#
# The certificate names `localhost` and nothing else: connect to localhost for the right name, to 127.0.0.1 on the same port
# for a wrong one, and trust other_ca.pem for an unknown authority. Role, user and SASL name are `app`, password
# `correct-horse`. All of it is made for one stack and worth nothing elsewhere.

# make_certificates FOLDER: ca.pem, other_ca.pem; server and client, each .pem and .key; kafka.pem is key and chain in one.
make_certificates() {
    local folder=$1 new=$1.new
    mkdir -p "$new"
    certificate_authority "$new/ca" "hookflow test authority"
    certificate_authority "$new/other_ca" "another test authority"
    signed_certificate "$new" server /CN=localhost DNS:localhost
    signed_certificate "$new" wrong /CN=wrong.example DNS:wrong.example
    signed_certificate "$new" client /CN=app DNS:app
    cat "$new/server.key" "$new/server.pem" "$new/ca.pem" > "$new/kafka.pem"
    chmod 755 "$new"
    chmod 644 "$new"/*
    mv "$new" "$folder"
}

certificate_authority() {
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$2" \
        -addext keyUsage=critical,keyCertSign -keyout "$1.key" -out "$1.pem"
}

signed_certificate() {
    local folder=$1 name=$2
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$folder/$name.key" -out "$folder/$name.csr"
    echo "subjectAltName=$4" > "$folder/$name.ext"
    quietly openssl x509 -req -days 30 -in "$folder/$name.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
        -extfile "$folder/$name.ext" -out "$folder/$name.pem"
    rm "$folder/$name.csr" "$folder/$name.ext"
}

tls_environment() {
    echo "HOOKFLOW_TEST_CA_FILE=$1/ca.pem"
    echo "HOOKFLOW_TEST_OTHER_CA_FILE=$1/other_ca.pem"
    echo "HOOKFLOW_TEST_CLIENT_CERTIFICATE_FILE=$1/client.pem"
    echo "HOOKFLOW_TEST_CLIENT_KEY_FILE=$1/client.key"
    echo "HOOKFLOW_TEST_TLS_DIR=$1"
    echo "HOOKFLOW_TEST_USER=app"
    echo "HOOKFLOW_TEST_PASSWORD=correct-horse"
}

# with_tls SERVICE…: the services, and where they have one, the server with TLS beside each. (Kafka has listeners.)
with_tls() {
    local name
    for name; do
        printf '%s\n' "$name"
        if [ "${STACK_TLS:-}" = 1 ] && declare -F "${name}_tls_command" >/dev/null; then printf '%s\n' "${name}_tls"; fi
    done
}

# Postgres: a second server, which refuses plaintext.

postgres_tls_ports=1
postgres_tls_stop_signal=INT
postgres_tls_abandon_signal=QUIT

postgres_tls_missing() {
    postgres_missing
    need openssl openssl
}
postgres_tls_install() { postgres_install; }
postgres_tls_ready() { postgres_ready "$@"; }
postgres_tls_sweep() { postgres_sweep "$@"; }

postgres_tls_prepare() {
    local folder=$1
    postgres_prepare "$folder"
    echo "${postgres_access//host /hostssl }" > "$folder/pg_hba.conf"
    cp "$dir/tls/server.pem" "$folder/server.pem"
    install -m 600 "$dir/tls/server.key" "$folder/server.key"
    postgres_give "$folder/server.key"
}

postgres_tls_command() {
    local folder=$1
    postgres_command "$@"
    command+=(-c ssl=on -c "ssl_cert_file=$folder/server.pem" -c "ssl_key_file=$folder/server.key"
        -c "ssl_ca_file=$dir/tls/ca.pem" -c "hba_file=$folder/pg_hba.conf")
}

postgres_tls_environment() { echo "HOOKFLOW_POSTGRES_TLS_URL=postgres://app:correct-horse@localhost:$2/hookflow?sslmode=require"; }

# NATS: a second server, which wants TLS, and a user with a password or an nkey.

nats_tls_ports=1
nats_tls_stop_signal=TERM
nats_tls_abandon_signal=KILL

nats_tls_missing() {
    nats_missing
    need openssl openssl
}
nats_tls_install() { nats_install; }
nats_tls_sweep() { :; }

nats_tls_prepare() {
    cat > "$1/nats.conf" <<END
tls { cert_file: "$dir/tls/server.pem", key_file: "$dir/tls/server.key" }
authorization {
    users: [
        { user: app, password: "correct-horse" }
        { nkey: UDVXDHTALESLOXP2MK2UNNKEICTXJG5JIDZTVGDEQODQCKF24EETGISM }
    ]
}
END
}

nats_tls_command() {
    nats_command "$@"
    command+=(-c "$1/nats.conf")
}

nats_tls_ready() { nats_ready "$@"; }

nats_tls_environment() {
    echo "HOOKFLOW_NATS_TLS_URL=tls://localhost:$2"
    echo "HOOKFLOW_TEST_NATS_NKEY_SEED=SUAGXUIGQ2EUG7UOCHZKQU6BYPWH7JZVLYTMVIG4XWWXJUFMEP2V2UHVHA"
}

# ClickHouse: its library cannot listen with TLS, so a proxy stands in front of the plain server.

clickhouse_tls_ports=1
clickhouse_tls_stop_signal=TERM
clickhouse_tls_abandon_signal=KILL

clickhouse_tls_missing() {
    need openssl openssl
    need socat socat
}
clickhouse_tls_install() { :; }
clickhouse_tls_sweep() { :; }

# The two start side by side; the proxy needs the other's final port.
clickhouse_tls_prepare() {
    local deadline=$((SECONDS + ${STACK_TIMEOUT:-60}))
    until [ -e "$dir/clickhouse/environment" ]; do
        ((SECONDS < deadline)) || die "clickhouse_tls needs clickhouse, which is not up"
        sleep 0.05
    done
    cat "$dir/tls/server.key" "$dir/tls/server.pem" > "$1/server.pem"
}

clickhouse_tls_command() {
    command=(socat "OPENSSL-LISTEN:$2,bind=127.0.0.1,reuseaddr,fork,verify=0,cert=$1/server.pem"
        "TCP:127.0.0.1:$(cat "$dir/clickhouse/ports")")
}

clickhouse_tls_ready() {
    local pid
    pid=$(pid_in "$1/pid") && listens "$pid" "$2"
}

clickhouse_tls_environment() { echo "HOOKFLOW_CLICKHOUSE_TLS_URL=https://localhost:$2"; }
