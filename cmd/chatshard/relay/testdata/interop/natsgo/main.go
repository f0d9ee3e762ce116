// Command natsgo reads the relay's log with nats.go and knows nothing else of
// the relay. See lines.mjs for what it is told and what it says.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	var config struct {
		NATS, Token, Durable string
		Filter               []string
	}
	if err := json.Unmarshal([]byte(os.Getenv("INTEROP")), &config); err != nil {
		log.Fatal(err)
	}
	nc, err := nats.Connect(config.NATS, nats.Token(config.Token), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	stream, err := js.Stream(ctx, "EV")
	if err != nil {
		log.Fatal(err)
	}
	epoch := stream.CachedInfo().Config.Metadata["chatshard-epoch"]
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: config.Durable, FilterSubjects: config.Filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = consumer.Consume(func(m jetstream.Msg) {
		at, err := m.Metadata()
		if err != nil {
			log.Fatal(err)
		}
		body := m.Data()
		if m.Headers().Get("Chatshard-Encoding") == "gzip" {
			if body, err = gunzip(body); err != nil {
				log.Fatal(err)
			}
		}
		fmt.Printf("{\"cursor\":{\"epoch\":%q,\"seq\":%d},%s\n", epoch, at.Sequence.Stream, body[1:])
		if err := m.Ack(); err != nil { // it comes again
			log.Print(err)
		}
	}, jetstream.PullMaxMessages(200))
	if err != nil {
		log.Fatal(err)
	}
	select {}
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
