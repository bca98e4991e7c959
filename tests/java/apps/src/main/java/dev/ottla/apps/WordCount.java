package dev.ottla.apps;

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * {@code WordCount FROM TO STATE_DIR BROKER}: counts words with Kafka Streams, exactly once; writes each new count of a word as a
 * record of its own, and goes on until it is interrupted.
 */
public final class WordCount {
    public static void main(String[] arguments) {
        var config = new Properties();
        config.put("application.id", "word-count");
        config.put("bootstrap.servers", arguments[3]);
        config.put("processing.guarantee", "exactly_once_v2");
        config.put("state.dir", arguments[2]);
        config.put("commit.interval.ms", 100);
        // Each change of a count is written, not only the last before a commit: so that one that is counted twice is seen.
        config.put("statestore.cache.max.bytes", 0);
        config.put("replication.factor", 1);
        config.put("num.stream.threads", 2);
        config.put("consumer.session.timeout.ms", 6_000);
        config.put("consumer.auto.offset.reset", "earliest");
        config.put("default.key.serde", Serdes.StringSerde.class);
        config.put("default.value.serde", Serdes.StringSerde.class);
        var builder = new StreamsBuilder();
        builder.<String, String>stream(arguments[0])
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .toStream()
            .mapValues(count -> count.toString())
            .to(arguments[1]);
        var streams = new KafkaStreams(builder.build(), config);
        streams.setUncaughtExceptionHandler(error -> {
            System.err.println(error);
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
    }
}
