package queue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/queue"
)

// BenchmarkAccept measures durable accepts of as many senders at once. Each event is
// a pull request's, of one of 1,000, with its facts.
func BenchmarkAccept(b *testing.B) {
	for _, senders := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			q := newQueue(b, openState(b), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })})
			b.ReportAllocs()
			var n atomic.Int64
			var wg sync.WaitGroup
			tickets := make(chan struct{}, senders)
			for range senders {
				wg.Go(func() {
					for range tickets {
						i := int(n.Add(1))
						e := event(fmt.Sprintf("d%d", i), reconcile.PullKey("1", i%1000+1))
						e.Repos = []reconcile.Repo{{ID: "1", Owner: "octo", Name: "infra", DefaultBranch: "main"}}
						e.Pulls = []reconcile.PullFact{{Repo: "1", Pull: reconcile.PullRequest{Number: i%1000 + 1, State: "open", UpdatedAt: time.Unix(int64(i), 0)}}}
						if _, err := q.Accept(b.Context(), e); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				tickets <- struct{}{}
			}
			close(tickets)
			wg.Wait()
			b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "accepts/s")
		})
	}
}

// BenchmarkLatency measures from the call of Accept until the run begins, on an idle
// queue.
func BenchmarkLatency(b *testing.B) {
	begun := make(chan time.Time, 1)
	q := newQueue(b, openState(b), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error {
		begun <- time.Now()
		return nil
	})})
	start(b, q)
	var acked, total time.Duration
	i := 0
	for b.Loop() {
		i++
		at := time.Now()
		_, err := q.Accept(b.Context(), event(fmt.Sprintf("d%d", i), reconcile.PullKey("1", i)))
		require.NoError(b, err)
		acked += time.Since(at)
		total += (<-begun).Sub(at)
	}
	b.ReportMetric(float64(acked.Microseconds())/1000/float64(i), "ms/ack")
	b.ReportMetric(float64(total.Microseconds())/1000/float64(i), "ms/start")
}
