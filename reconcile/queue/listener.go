package queue

import (
	"context"
	"database/sql"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// driver is River's SQLite driver with a listener that wakes when this process
// commits jobs. River's own polls its table of notifications 20 times a second, and
// adds a row to it with each insert.
type driver struct {
	*riversqlite.Driver
	wake <-chan struct{}
}

func newDriver(db *sql.DB, wake <-chan struct{}) driver {
	return driver{riversqlite.New(db), wake}
}

// GetListener gives River the listener.
func (d driver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{d.wake}
}

// SupportsListener says that GetListener's may be used.
func (d driver) SupportsListener() bool { return true }

// SupportsListenNotify keeps River from writing notifications that nobody reads.
func (d driver) SupportsListenNotify() bool { return false }

// insertTopic is where River's producers listen for jobs of their queue.
const insertTopic = "river_insert"

// listener turns each signal into the notification that jobs were inserted.
type listener struct{ wake <-chan struct{} }

func (*listener) Close(context.Context) error            { return nil }
func (*listener) Connect(context.Context) error          { return nil }
func (*listener) Listen(context.Context, string) error   { return nil }
func (*listener) Unlisten(context.Context, string) error { return nil }
func (*listener) Ping(context.Context) error             { return nil }
func (*listener) Schema() string                         { return "" }
func (*listener) SetAfterConnectExec(string)             {}

// WaitForNotification waits for a signal. One that nobody listens for yet is lost,
// which is why jobs are also polled for each second.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.wake:
		return &riverdriver.Notification{Topic: insertTopic, Payload: `{"queue":"` + river.QueueDefault + `"}`}, nil
	}
}
