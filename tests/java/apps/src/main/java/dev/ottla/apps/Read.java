package dev.ottla.apps;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** {@code Read TOPIC BROKER}: prints the values of all that is committed, with `KEY=` before those that have a key, and ends. */
public final class Read {
    public static void main(String[] arguments) {
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[1], "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(arguments[0]).stream()
                .map(info -> new TopicPartition(info.topic(), info.partition()))
                .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            // Up to what is stable, in this isolation level.
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    System.out.println(record.key() == null ? record.value() : record.key() + "=" + record.value());
                }
            }
        }
    }
}
