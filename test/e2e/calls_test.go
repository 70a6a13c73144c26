package e2e

import (
	"os"
	"strings"
	"time"
)

func symlink(to, at string) error { return os.Symlink(to, at) }

// settle waits until the bot has made no REST call for a while.
func (w *world) settle() {
	w.t.Helper()
	last, since := -1, time.Now()
	w.eventually("the bot to be at rest", func() bool {
		if n := len(w.botCalls()); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
}

// settleOn waits until a head has its checks, looking at git's side of the hub
// only through people's requests, and then until the bot is at rest.
func (w *world) settleOn(head string) {
	w.t.Helper()
	w.checks(head)
	w.settle()
}

// botCalls lists the REST requests that the App made with an installation's token
// for a pull request: sweeps use the installation's list, and are not counted.
func (w *world) botCalls() []string {
	var calls []string
	for _, r := range w.hub.BotCalls() {
		if !strings.HasPrefix(r.Route, "/installation/") {
			calls = append(calls, r.Method+" "+r.Route)
		}
	}
	return calls
}
