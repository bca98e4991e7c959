// A consumer group with sarama's defaults: each member prints what it gets, as
// partition/offset/value, and marks it, until it is interrupted.
//
//	group GROUP TOPIC [BROKER]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/Shopify/sarama"
)

type printer struct{}

func (printer) Setup(session sarama.ConsumerGroupSession) error {
	fmt.Printf("generation %d: %v\n", session.GenerationID(), session.Claims())
	return nil
}

func (printer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (printer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			fmt.Printf("%d/%d/%s\n", message.Partition, message.Offset, message.Value)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: group GROUP TOPIC [BROKER]")
		os.Exit(2)
	}
	broker := "localhost:9092"
	if len(os.Args) > 3 {
		broker = os.Args[3]
	}
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	group, err := sarama.NewConsumerGroup([]string{broker}, os.Args[1], config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		err := group.Consume(ctx, []string{os.Args[2]}, printer{})
		if err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	// Commits what is marked, and leaves.
	if err := group.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
