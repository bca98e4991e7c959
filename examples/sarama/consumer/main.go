package main

import (
	"fmt"
	"github.com/Shopify/sarama"
)

func main() {
	// 生成消费者
	consumer, err := sarama.NewConsumer([]string{"localhost:9092"}, nil)
	if err != nil {
		fmt.Println("fail to start consumer, err:", err)
		return
	}

	// 拿到对应主题下的所有分区
	partitionList, err := consumer.Partitions("logs")
	if err != nil {
		fmt.Println("get partition list failed, err:", err)
		return
	}

	// 遍历所有分区
	for partition := range partitionList {
		// 针对每个分区创建一个对应的分区消费者
		pc, err := consumer.ConsumePartition("logs", int32(partition), sarama.OffsetNewest)
		if err != nil {
			fmt.Println("consume partition failed, err:", err)
		}
		defer pc.AsyncClose()
		// 取出消息
		// 通过异步的方式拿到消息
		go func(partitionConsumer sarama.PartitionConsumer) {
			for msg := range partitionConsumer.Messages() {
				fmt.Printf("Partition:%d Offset:%d Key:%v Value:%v", msg.Partition, msg.Offset, msg.Key, msg.Value)
			}
		}(pc)
	}

	select {} // added: without a wait here the program ends before it has received anything
}
