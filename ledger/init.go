package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// InitOptions are Init's surroundings; see Options for each.
type InitOptions struct {
	Auth   transport.AuthMethod
	Now    func() time.Time
	Rand   io.Reader
	Logger *slog.Logger
}

// ErrNotEmpty: the repository holds something that is no ledger of these keys.
var ErrNotEmpty = errors.New("the repository is not empty and is no ledger of these keys; give an empty one")

// Init makes a ledger: a new bare repository, if remote is a path where nothing
// is, and CL-0, which introduces the keys. On a ledger of the same keys it does
// nothing, so it may be repeated after a crash; anything else that isn't empty is
// refused with ErrNotEmpty.
func Init(ctx context.Context, remote string, keys *Keys, o InitOptions) error {
	if err := keys.check(); err != nil {
		return err
	}
	end, err := newEndpoint(remote, o.Auth)
	if err != nil {
		return err
	}
	if end.local() {
		if err := createLocal(end.ep.Path); err != nil {
			return err
		}
	}
	l, err := newLog(ctx, remote, keys, Options{Auth: o.Auth, Now: o.Now, Rand: o.Rand, Logger: o.Logger})
	if err != nil {
		return err
	}
	return errors.Join(l.introduce(ctx), l.st.src.close())
}

// introduce pushes CL-0 to an empty repository.
func (l *Log) introduce(ctx context.Context) error {
	var last error
	for range 3 {
		push, err := l.end.startPush(ctx)
		if err != nil {
			return err
		}
		if len(push.adv.References) > 0 {
			err := push.close()
			if _, loadErr := l.load(ctx, push.tip); loadErr != nil {
				return fmt.Errorf("%w: %w", ErrNotEmpty, errors.Join(loadErr, err))
			}
			return nil
		}
		when := l.opts.Now().UTC().Truncate(time.Second)
		st, err := l.pub.keyEvent(when)
		if err != nil {
			return errors.Join(err, push.close())
		}
		e, err := parseStatement(st)
		if err != nil {
			return errors.Join(err, push.close())
		}
		p, err := l.build(ctx, &tip{edge: &edge{}}, []*entry{e}, [][]byte{nil}, nil, when)
		if err != nil {
			return errors.Join(err, push.close())
		}
		objects, err := p.pack.encode()
		if err != nil {
			return errors.Join(err, push.close())
		}
		if last = push.send(ctx, p.next.hash, objects); last == nil {
			return push.close()
		}
		// Another writer, or no answer: look at what is there now.
		last = errors.Join(last, push.close())
	}
	return fmt.Errorf("publish CL-0: %w", last)
}

// createLocal makes the bare repository beside its place and moves it there, so
// that a crash leaves no half repository. An existing one is left alone.
func createLocal(path string) error {
	names, err := os.ReadDir(path)
	if err == nil && len(names) > 0 {
		if _, err := openLocal(path); err != nil {
			return fmt.Errorf("%w (%w)", ErrNotEmpty, err)
		}
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("create audit repository: %w", err)
	}
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("create audit repository: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, ".ledger-init-")
	if err != nil {
		return fmt.Errorf("create audit repository: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := createBare(tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create audit repository: %w", err)
	}
	return nil
}
