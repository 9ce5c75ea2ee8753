import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.OffsetOption;
import org.apache.rocketmq.client.apis.producer.Producer;

/**
 * RocketMQ's own Java client at a lab's topics: reads a lite topic and writes to another.
 *
 * <p>Arguments: proxy, parent, group, lite topic to read, number of messages to wait for, lite topic to write to. Prints a
 * line for each message that came, with its body in base64, and one for each that it sent.
 */
public class Peer {
    public static void main(String[] args) throws Exception {
        String parent = args[1];
        int count = Integer.parseInt(args[4]);
        ClientServiceProvider provider = ClientServiceProvider.loadService();
        ClientConfiguration configuration = ClientConfiguration.newBuilder().setEndpoints(args[0]).build();
        CountDownLatch left = new CountDownLatch(count);
        LitePushConsumer consumer = provider.newLitePushConsumerBuilder()
            .setClientConfiguration(configuration)
            .setConsumerGroup(args[2])
            .bindTopic(parent)
            .setMessageListener(message -> {
                ByteBuffer body = message.getBody();
                byte[] bytes = new byte[body.remaining()];
                body.get(bytes);
                synchronized (left) {
                    System.out.println("got " + Base64.getEncoder().encodeToString(bytes));
                    left.countDown();
                }
                return ConsumeResult.SUCCESS;
            })
            .build();
        consumer.subscribeLite(args[3], OffsetOption.MIN_OFFSET);
        left.await();
        consumer.close();
        Producer producer = provider.newProducerBuilder().setClientConfiguration(configuration).setTopics(parent).build();
        for (String text : new String[] {"one", "天气", "three"}) {
            producer.send(provider.newMessageBuilder()
                .setTopic(parent)
                .setLiteTopic(args[5])
                .addProperty("ce_type", "java.said")
                .setBody(text.getBytes(StandardCharsets.UTF_8))
                .build());
            System.out.println("sent " + Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8)));
        }
        producer.close();
        System.exit(0);
    }
}
