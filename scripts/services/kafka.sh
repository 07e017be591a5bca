# Apache Kafka: one broker, its own controller, out of the jars of Maven Central. Sourced by scripts/stack.
#
# Beside the jars the cache holds a class archive (halves the start) and a formatted, empty data folder.

kafka_ports=5 # plaintext, controller; with STACK_TLS: TLS, SASL over TLS, SASL in plaintext
kafka_stop_signal=TERM
kafka_abandon_signal=KILL
kafka_version=4.4.0

kafka_folder() { printf '%s/kafka-%s\n' "$cache" "$kafka_version"; }

kafka_missing() {
    need java default-jre-headless
    [ "${STACK_TLS:-}" != 1 ] || need openssl openssl
    [ -e "$(kafka_folder)/ok" ] || need mvn maven
}

kafka_install() {
    local folder
    folder=$(kafka_folder)
    [ ! -e "$folder/ok" ] || return 0
    say "fetching Kafka $kafka_version (43 MB)"
    rm -rf "$folder"
    mkdir -p "$folder/prime"
    kafka_pom > "$folder/pom.xml"
    quietly mvn -q -B -f "$folder/pom.xml" "-Dmaven.repo.local=$folder/m2" dependency:copy-dependencies \
        "-DoutputDirectory=$folder/libs"
    rm -rf "$folder/m2"
    kafka_prime "$folder/prime"
    touch "$folder/ok"
}

kafka_pom() {
    cat <<END
<project xmlns='http://maven.apache.org/POM/4.0.0'>
<modelVersion>4.0.0</modelVersion>
<groupId>stack</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies>
</project>
END
}

# kafka_prime FOLDER: formats a data folder and writes the class archive, by one start and stop of a broker.
kafka_prime() {
    local prime=$1 folder=${1%/*} id pid flags
    kafka_properties "$prime" "$(free_port)" "$(free_port)" > "$prime/server.properties"
    id=$(kafka_java kafka.tools.StorageTool random-uuid 2>/dev/null)
    quietly kafka_java kafka.tools.StorageTool format -t "$id" -c "$prime/server.properties" \
        --add-scram 'SCRAM-SHA-256=[name=app,password=correct-horse]'
    cp -r "$prime/data" "$folder/formatted"
    kafka_flags
    java "${flags[@]}" "-XX:ArchiveClassesAtExit=$folder/kafka.jsa" -cp "$(kafka_jars)" kafka.Kafka "$prime/server.properties" \
        < /dev/null > "$prime/log" 2>&1 7>&- 8>&- 9>&- &
    pid=$!
    until grep -qs 'Kafka Server started' "$prime/log"; do
        start_time "$pid" >/dev/null || { tail -n 20 "$prime/log" >&2; die "Kafka does not start"; }
        sleep 0.1
    done
    kill "$pid"
    wait "$pid" || true
    rm -rf "$prime"
}

# Sorted and explicit: the archive wants the same class path each time.
kafka_jars() { printf '%s\n' "$(kafka_folder)"/libs/*.jar | paste -sd: -; }

# kafka_flags: small, quick to start; the simple logger needs no file. Its first line "started" is what readiness waits for.
kafka_flags() {
    local log=-Dorg.slf4j.simpleLogger
    flags=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData "$log.showDateTime=true"
        "$log.dateTimeFormat=HH:mm:ss.SSS" "$log.defaultLogLevel=warn" "$log.log.kafka.server.KafkaRaftServer=info")
}

kafka_java() {
    local flags
    kafka_flags
    java "${flags[@]}" -cp "$(kafka_jars)" "$@"
}

# kafka_properties FOLDER PORT CONTROLLER [TLS SASL_TLS SASL]: the settings. Short timeouts: with the stock ones a broker
# that was killed is refused for 9 seconds when it comes back.
kafka_properties() {
    local folder=$1 port=$2 controller=$3 listeners=PLAINTEXT://127.0.0.1:$2 advertised=PLAINTEXT://127.0.0.1:$2 one
    if [ $# -gt 3 ]; then
        listeners+=,SSL://127.0.0.1:$4,SASL_SSL://127.0.0.1:$5,SASL_PLAINTEXT://127.0.0.1:$6
        advertised+=,SSL://localhost:$4,SASL_SSL://localhost:$5,SASL_PLAINTEXT://127.0.0.1:$6
        kafka_security
    fi
    for one in {offsets.topic,transaction.state.log,share.coordinator.state.topic}.{replication.factor,num.partitions} \
        {transaction.state.log,share.coordinator.state.topic}.min.isr; do
        echo "$one=1"
    done
    cat <<END
process.roles=broker,controller
node.id=1
listeners=$listeners,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$advertised
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=100
metadata.max.idle.interval.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
background.threads=2
END
}

# kafka_security: the TLS listener wants a client's certificate, the SASL ones a name and a password.
kafka_security() {
    local module=org.apache.kafka.common.security listener
    cat <<END
ssl.keystore.type=PEM
ssl.keystore.location=$dir/tls/kafka.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/tls/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
END
    for listener in sasl_ssl sasl_plaintext; do
        echo "listener.name.$listener.plain.sasl.jaas.config=$module.plain.PlainLoginModule required user_app=\"correct-horse\";"
        echo "listener.name.$listener.scram-sha-256.sasl.jaas.config=$module.scram.ScramLoginModule required;"
    done
}

kafka_prepare() {
    local folder=$1
    [ ! -e "$folder/data" ] || return 0
    cp -r "$(kafka_folder)/formatted" "$folder/data.new"
    mv "$folder/data.new" "$folder/data"
}

kafka_command() {
    local folder=$1 flags
    if [ -d "$dir/tls" ]; then kafka_properties "$@"; else kafka_properties "${@:1:3}"; fi > "$folder/server.properties"
    kafka_flags
    # shellcheck disable=SC2206 # several options in one variable
    command=(java "${flags[@]}" ${STACK_KAFKA_JAVA_OPTIONS:-} "-XX:SharedArchiveFile=$(kafka_folder)/kafka.jsa"
        -cp "$(kafka_jars)" kafka.Kafka "$folder/server.properties")
}

kafka_ready() {
    local folder=$1 port=$2
    pid_in "$folder/pid" >/dev/null && grep -q 'Kafka Server started' "$folder/log" && answers "$port"
}

kafka_environment() {
    echo "HOOKFLOW_KAFKA_BROKERS=127.0.0.1:$2"
    [ -d "$dir/tls" ] || return 0
    echo "HOOKFLOW_KAFKA_TLS_BROKERS=localhost:$4"
    echo "HOOKFLOW_KAFKA_SASL_TLS_BROKERS=localhost:$5"
    echo "HOOKFLOW_KAFKA_SASL_BROKERS=127.0.0.1:$6"
}

kafka_sweep() { :; }
