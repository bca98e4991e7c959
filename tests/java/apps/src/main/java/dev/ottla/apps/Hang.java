package dev.ottla.apps;

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** {@code Hang TRANSACTIONAL_ID TOPIC BROKER}: begins a transaction with a record in it, says `open`, and leaves it so until it is killed. */
public final class Hang {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> config =
            Map.of("bootstrap.servers", arguments[2], "transactional.id", arguments[0], "transaction.timeout.ms", 600_000);
        var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(arguments[1], "hanging")).get();
        System.out.println("open");
        Thread.currentThread().join();
    }
}
