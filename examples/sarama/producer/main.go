package main

import (
	"fmt"
	"github.com/Shopify/sarama"
)

func main() {
	// 配置生产者
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll          // 发送数据需要leader和follow都确认
	config.Producer.Partitioner = sarama.NewRandomPartitioner // 随机选择一个partition
	config.Producer.Return.Successes = true                   // 成功交付的消息将在success channel返回

	// 连接kafka
	client, err := sarama.NewSyncProducer([]string{"localhost:9092"}, config)
	if err != nil {
		fmt.Println("Producer closed, err:", err)
	}
	defer client.Close()

	// 构造一个消息
	msg := &sarama.ProducerMessage{}
	msg.Topic = "logs"
	msg.Value = sarama.StringEncoder("this is a test log...")

	// 发送消息
	fmt.Println(1)
	pid, offset, err := client.SendMessage(msg)
	fmt.Println(2)
	if err != nil {
		fmt.Println("Send msg failed, err:", err)
	}

	fmt.Printf("pid:%v offset:%v", pid, offset)
}
