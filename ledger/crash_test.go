package ledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const crashDirEnv = "LEDGER_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		appendForever(dir)
		return
	}
	os.Exit(m.Run())
}

// appendForever is the child: it appends change after change, from the first one
// that it hasn't been told is there, and says each that Append promised.
func appendForever(dir string) {
	keys, err := GenerateKeys("audit.example.com", epoch.Add(-time.Hour), rand.New(rand.NewSource(1)))
	if err != nil {
		panic(err)
	}
	from, err := strconv.Atoi(os.Getenv("LEDGER_CRASH_FROM"))
	if err != nil {
		panic(err)
	}
	o := testOptions()
	o.StaleLock = time.Second
	l, err := Open(context.Background(), dir, keys, o)
	if err != nil {
		panic(err)
	}
	for i := from; ; i++ {
		batch := Batch{Drafts: drafts(i, i+1+i%3), Cursors: []Cursor{testCursor(i)}}
		if _, err := l.Append(context.Background(), batch); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

func TestAppend_SurvivesKillAtAnyMoment(t *testing.T) {
	kills := 32
	if testing.Short() {
		kills = 5
	}
	dir, keys, _ := newLedger(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	promised := -1
	for k := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDirEnv+"="+dir, "LEDGER_CRASH_FROM="+strconv.Itoa(promised+1))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(out)
		// Let it do some appends, then kill it somewhere in the next one; half the
		// time with the git that it started.
		for range rng.Intn(3) {
			promised = readPromise(t, lines, promised, &stderr)
		}
		time.Sleep(time.Duration(rng.Int63n(int64(120 * time.Millisecond))))
		target := cmd.Process.Pid
		if k%2 == 1 {
			target = -target
		}
		require.NoError(t, syscall.Kill(target, syscall.SIGKILL))
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			promised = parsePromise(t, line)
		}
		_ = cmd.Wait() // killed
		r := requireVerified(t, dir)
		assert.GreaterOrEqual(t, r.Entries, int64(promised+2), "what Append promised is there")
	}
	assert.Empty(t, fsck(t, dir))
	l := openLedger(t, dir, keys)
	end := int(l.Size()) + 3
	o := l.opts
	o.StaleLock = time.Second
	l.opts = o
	appendAll(t, l, drafts(0, end)...) // all again: the missing are added, none twice
	r := requireVerified(t, dir)
	assert.EqualValues(t, end+1, r.Entries)
	t.Logf("%d kills, %d entries", kills, r.Entries)
}

func readPromise(t *testing.T, r *bufio.Reader, last int, stderr *strings.Builder) int {
	t.Helper()
	line, err := r.ReadString('\n')
	if err == io.EOF {
		require.FailNow(t, "the writer died by itself", stderr.String())
	}
	require.NoError(t, err)
	return max(last, parsePromise(t, line))
}

func parsePromise(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	return n
}

// fsck reports what git finds; objects that a killed push left unreferenced are
// no fault.
func fsck(t *testing.T, dir string) string {
	var faults []string
	for line := range strings.Lines(run(t, dir, "git", "fsck", "--strict")) {
		if !strings.HasPrefix(line, "dangling ") {
			faults = append(faults, line)
		}
	}
	return strings.Join(faults, "")
}
