package dev.ottla.apps;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * {@code Transform TRANSACTIONAL_ID GROUP FROM TO BROKER}: moves records in transactions, a `!` behind each value; prints
 * `committed COUNT` for each that it commits, aborts every third, and goes on until it is interrupted.
 */
public final class Transform {
    private static final int RECORDS_MAX = 20;
    private static final int ABORT_EVERY = 3;

    public static void main(String[] arguments) throws Exception {
        String id = arguments[0];
        String group = arguments[1];
        String from = arguments[2];
        String to = arguments[3];
        String broker = arguments[4];
        Map<String, Object> consuming = Map.of(
            "bootstrap.servers", broker, "group.id", group, "group.protocol", "consumer", "enable.auto.commit", false,
            "isolation.level", "read_committed", "auto.offset.reset", "earliest", "max.poll.records", RECORDS_MAX);
        Map<String, Object> producing =
            Map.of("bootstrap.servers", broker, "transactional.id", id, "transaction.timeout.ms", 20_000);
        var consumer = new KafkaConsumer<>(consuming, new StringDeserializer(), new StringDeserializer());
        var producer = new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());
        var ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                ended.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        try (consumer; producer) {
            // Fences an earlier self, and ends what that had begun.
            producer.initTransactions();
            consumer.subscribe(List.of(from));
            for (int number = 1; ; number++) {
                var records = consumer.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) {
                    number--;
                    continue;
                }
                // As what it was when the records came: another thread of the consumer may make it another epoch's at any time,
                // which begins at what is committed.
                var member = consumer.groupMetadata();
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
                for (ConsumerRecord<String, String> record : records) {
                    var partition = new TopicPartition(record.topic(), record.partition());
                    positions.put(partition, new OffsetAndMetadata(record.offset() + 1));
                    producer.send(new ProducerRecord<>(to, record.value() + "!"));
                }
                boolean keep = number % ABORT_EVERY != 0;
                try {
                    untilDone(() -> producer.sendOffsetsToTransaction(positions, member));
                    if (keep) {
                        untilDone(producer::commitTransaction);
                    }
                } catch (CommitFailedException e) {
                    // The group has gone on without this member, or in another epoch of it.
                    System.err.println(e);
                    keep = false;
                }
                if (keep) {
                    System.out.println("committed " + records.count());
                } else {
                    untilDone(producer::abortTransaction);
                    System.out.println("aborted " + records.count());
                    // Back to what is committed, which is where the transaction began, unless another member was there meanwhile.
                    consumer.committed(consumer.assignment()).forEach((partition, committed) ->
                        consumer.seek(partition, committed == null ? new OffsetAndMetadata(0) : committed));
                }
            }
        } catch (WakeupException e) {
            // Interrupted.
        } finally {
            ended.countDown();
        }
    }

    /** What the broker's end cut short is asked for again, as the producer's documentation has it. */
    private static void untilDone(Runnable step) {
        while (true) {
            try {
                step.run();
                return;
            } catch (TimeoutException e) {
                System.err.println(e);
            }
        }
    }
}
