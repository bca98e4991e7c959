// Programs with franz-go for the tests of the whole:
//
//   - transform TRANSACTIONAL_ID GROUP FROM TO BROKER moves records in transactions, a `!` behind each value; it prints
//     `committed COUNT` for each that it commits, aborts every third, and goes on until it is interrupted.
//   - read TOPIC BROKER prints the values of all that is committed, and ends.
//
// The tests of franz-go itself are run from its module as it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	recordsMax = 20 // of one transaction
	abortEvery = 3  // each of so many transactions is aborted, and its records moved again by the next
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 6 && arguments[0] == "transform":
		err = transform(arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
	case len(arguments) == 3 && arguments[0] == "read":
		err = read(arguments[1], arguments[2])
	default:
		err = errors.New("usage: transform ID GROUP FROM TO BROKER | read TOPIC BROKER")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func transform(id, group, from, to, broker string) error {
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(broker),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(20*time.Second),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(6*time.Second),
		kgo.RequireStableFetchOffsets(),
		// A node that is being started again refuses connections.
		kgo.AlwaysRetryEOF(),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for number := 1; interrupted.Err() == nil; number++ {
		fetches := session.PollRecords(interrupted, recordsMax)
		if interrupted.Err() != nil {
			break
		}
		if err := fetches.Err(); err != nil {
			// The group's session ended with its broker; the client joins again by itself.
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		var failed kgo.FirstErrPromise
		for record := range fetches.RecordsAll() {
			moved := &kgo.Record{Topic: to, Value: append(record.Value, '!')}
			session.Produce(context.Background(), moved, failed.Promise())
		}
		keep := failed.Err() == nil && number%abortEvery != 0
		committed, err := session.End(context.Background(), kgo.TransactionEndTry(keep))
		switch {
		case err != nil:
			return err
		case committed:
			fmt.Printf("committed %d\n", fetches.NumRecords())
		default:
			fmt.Printf("aborted %d\n", fetches.NumRecords())
		}
	}
	return nil
}

func read(topic, broker string) error {
	ctx := context.Background()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// What ends a transaction has an offset too: without it the end of what is committed is never seen.
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return err
	}
	open := make(map[int32]int64)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			open[end.Partition] = end.Offset
		}
	})
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for record := range fetches.RecordsAll() {
			if !record.Attrs.IsControl() {
				fmt.Println(string(record.Value))
			}
			if end, known := open[record.Partition]; known && record.Offset+1 >= end {
				delete(open, record.Partition)
			}
		}
	}
	return nil
}
