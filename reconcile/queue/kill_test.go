package queue_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/queue"
	"github.com/conductor-dev/conductor/reconcile/state"
)

// childEnv has the test binary be a process that accepts and works events on the
// database it names, until it is killed.
const childEnv = "CONDUCTOR_QUEUE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := storm(path, os.Getenv(childEnv+"_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// storm tells on its output what it did, one line each: S a delivery is sent, A it
// was accepted, C it was seen completed, B a run began, E it ended.
func storm(path, round string) error {
	ctx := context.Background()
	db, err := state.Open(ctx, path)
	if err != nil {
		return err
	}
	tell := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	q, err := queue.New(ctx, db, queue.Options{Backoff: soon, Workers: allKinds(func(_ context.Context, key reconcile.Key) error {
		tell("B %s", key)
		time.Sleep(rand.N(4 * time.Millisecond))
		if rand.N(4) == 0 {
			return fmt.Errorf("bad luck")
		}
		tell("E %s", key)
		return nil
	})})
	if err != nil {
		return err
	}
	if err := q.Start(ctx); err != nil {
		return err
	}
	tell("READY")
	if round == "last" {
		if err := q.Idle(ctx); err != nil {
			return err
		}
		return q.Stop(ctx)
	}
	for sender := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", round, sender, i)
				key := reconcile.PullKey("1", 1+rand.N(6))
				tell("S %s %s", id, key)
				if _, err := q.Accept(ctx, event(id, key)); err != nil {
					tell("FAILED %s", err)
					return
				}
				tell("A %s %s", id, key)
				if d, _, err := db.Delivery(ctx, id); err == nil && !d.CompletedAt.IsZero() {
					tell("C %s", id)
				}
				time.Sleep(rand.N(2 * time.Millisecond))
			}
		}()
	}
	select {}
}

func TestKill_LosesNothingAccepted(t *testing.T) {
	const rounds = 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "state.db")

	var log []string
	completed := map[string]bool{}
	for round := range rounds {
		log = append(log, child(t, path, fmt.Sprint(round), 50*time.Millisecond+time.Duration(rng.Int64N(int64(250*time.Millisecond))))...)
		for _, line := range log {
			if id, ok := strings.CutPrefix(line, "C "); ok {
				completed[id] = true
			}
		}
		db, err := state.Open(t.Context(), path)
		require.NoError(t, err)
		for id := range completed {
			d, ok, err := db.Delivery(t.Context(), id)
			require.NoError(t, err)
			require.True(t, ok && !d.CompletedAt.IsZero(), "delivery %s was complete before the kill", id)
		}
		require.NoError(t, db.Close())
	}
	began := time.Now()
	log = append(log, child(t, path, "last", 0)...)
	assert.Less(t, time.Since(began), 5*time.Minute, "orphans don't wait for a rescuer")

	accepted := 0
	var sent, begun, worked = map[string]int{}, map[string]int{}, map[string]int{} // line numbers; worked: of the begin
	for n, line := range log {
		f := strings.Fields(line)
		switch f[0] {
		case "S":
			sent[f[1]] = n
		case "B":
			begun[f[1]] = n
		case "E":
			worked[f[1]] = begun[f[1]]
		}
	}
	db, err := state.Open(t.Context(), path)
	require.NoError(t, err)
	defer db.Close()
	for _, line := range log {
		f := strings.Fields(line)
		require.NotEqual(t, "FAILED", f[0], line)
		if f[0] != "A" {
			continue
		}
		accepted++
		assert.Greater(t, worked[f[2]], sent[f[1]], "a good run of %s began after %s", f[2], f[1])
		d, ok, err := db.Delivery(t.Context(), f[1])
		require.NoError(t, err)
		assert.True(t, ok && !d.CompletedAt.IsZero(), "delivery %s is completed", f[1])
	}
	assert.Positive(t, accepted)
	t.Logf("%d kills, %d deliveries accepted, %d seen completed before a kill", rounds, accepted, len(completed))
}

// child runs a storm, kills it a time after it is ready (0: waits for its end), and
// returns its lines.
func child(t *testing.T, path, round string, killAfter time.Duration) (lines []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, childEnv+"_ROUND="+round)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var kill sync.WaitGroup
	in := bufio.NewScanner(out)
	for in.Scan() {
		if in.Text() != "READY" {
			lines = append(lines, in.Text())
			continue
		}
		if killAfter > 0 {
			kill.Go(func() {
				time.Sleep(killAfter)
				_ = cmd.Process.Kill()
			})
		}
	}
	kill.Wait()
	err = cmd.Wait()
	if killAfter == 0 {
		require.NoError(t, err, stderr.String())
	} else {
		require.Empty(t, stderr.String())
	}
	return lines
}
