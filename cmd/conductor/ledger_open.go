package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/spf13/pflag"

	"github.com/conductor-dev/conductor/ledger"
)

// ledgerFlags say how a command gets into a ledger. Secrets come from files or
// the environment.
type ledgerFlags struct {
	remote, keys, passwordFile, tokenFile, origin string
}

// named adds --ledger, for those who would rather not give the ledger by place.
func (f *ledgerFlags) named(flags *pflag.FlagSet) {
	flags.StringVar(&f.remote, "ledger", "", "the ledger, instead of an argument (or CONDUCTOR_LEDGER_REMOTE)")
}

// which is the ledger that a command is about: the argument, --ledger, or the
// environment's.
func (f *ledgerFlags) which(list []string) (string, error) {
	for _, remote := range append(list[:len(list):len(list)], f.remote, os.Getenv("CONDUCTOR_LEDGER_REMOTE")) {
		if remote != "" {
			return remote, nil
		}
	}
	return "", usageError{errors.New("which ledger? Name its folder or URL, or set CONDUCTOR_LEDGER_REMOTE")}
}

func (f *ledgerFlags) addRead(flags *pflag.FlagSet) {
	flags.StringVar(&f.tokenFile, "token-file", "", "file with a token for an HTTPS ledger (or CONDUCTOR_LEDGER_TOKEN)")
}

func (f *ledgerFlags) addWrite(flags *pflag.FlagSet) {
	f.addRead(flags)
	flags.StringVar(&f.keys, "keys", "", "folder of the signing keys (default: beside a local ledger, DIR.keys; or CONDUCTOR_LEDGER_KEYS_DIR)")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the keys' password (or CONDUCTOR_LEDGER_PASSWORD)")
}

// settings resolves flags and environment for one ledger.
func (f *ledgerFlags) settings(remote string) (LedgerConfig, Secrets, error) {
	c := LedgerConfig{Remote: remote, KeysDir: f.keys, Origin: f.origin}
	if c.KeysDir == "" {
		c.KeysDir = os.Getenv("CONDUCTOR_LEDGER_KEYS_DIR")
	}
	if c.KeysDir == "" {
		c.KeysDir = defaultKeysDir(remote)
	}
	var s Secrets
	var err error
	if s.LedgerPassword, err = secretFrom("CONDUCTOR_LEDGER_PASSWORD", f.passwordFile); err != nil {
		return c, s, err
	}
	s.LedgerToken, err = secretFrom("CONDUCTOR_LEDGER_TOKEN", f.tokenFile)
	return c, s, err
}

func secretFrom(env, file string) (Secret, error) {
	if file == "" {
		return Secret(os.Getenv(env)), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("read the secret: %w", err)}
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return nil, usageError{fmt.Errorf("read the secret: %s is empty", file)}
	}
	return data, nil
}

var hasScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://|^[^/]+@[^/]+:`)

func isURL(remote string) bool { return hasScheme.MatchString(remote) }

// defaultKeysDir is beside a local ledger, not in it: who gets a copy of the
// ledger must not get the keys.
func defaultKeysDir(remote string) string {
	if !isURL(remote) {
		return filepath.Clean(remote) + ".keys"
	}
	base, err := os.UserConfigDir()
	if err != nil {
		base = "."
	}
	name := regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(hasScheme.ReplaceAllString(remote, ""), "-")
	return filepath.Join(base, "conductor", "keys", strings.Trim(name, "-"))
}

// initLedger makes keys where there are none, and a ledger that starts with them.
func initLedger(ctx context.Context, c LedgerConfig, secrets Secrets) error {
	keys, err := ledger.LoadKeys(c.KeysDir, secrets.LedgerPassword)
	if errors.Is(err, fs.ErrNotExist) {
		if keys, err = ledger.GenerateKeys(c.Origin, time.Now(), rand.Reader); err != nil {
			return usageError{err}
		}
		if err := keys.SaveKeys(c.KeysDir, secrets.LedgerPassword); err != nil {
			return fmt.Errorf("save the new keys: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	return ledger.Init(ctx, c.Remote, keys, ledger.InitOptions{Auth: ledgerAuth(secrets.LedgerToken)})
}

// ensureLedger opens a ledger for writing; a local one that isn't there is made,
// and notice is told.
func ensureLedger(ctx context.Context, c LedgerConfig, secrets Secrets, o ledger.Options, notice io.Writer) (*ledger.Log, error) {
	if !isURL(c.Remote) && !exists(c.Remote) {
		if err := initLedger(ctx, c, secrets); err != nil {
			return nil, fmt.Errorf("make a ledger at %s: %w", c.Remote, err)
		}
		fmt.Fprintf(notice, "made a new ledger at %s, with its keys in %s\n", c.Remote, c.KeysDir)
	}
	keys, err := ledger.LoadKeys(c.KeysDir, secrets.LedgerPassword)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("no signing keys in %s: name their folder, or make a ledger with 'conductor ledger init': %w", c.KeysDir, err)}
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("read the keys: %w", err)}
	}
	o.Auth, o.Interval = ledgerAuth(secrets.LedgerToken), time.Duration(c.PushInterval)
	return ledger.Open(ctx, c.Remote, keys, o)
}

// ledgerAuth gives git a token over HTTPS; nil where there is none.
func ledgerAuth(token Secret) transport.AuthMethod {
	if len(token) == 0 {
		return nil
	}
	return &githttp.BasicAuth{Username: "x-access-token", Password: string(token)}
}

// readAuth is for commands that only read.
func (f *ledgerFlags) readAuth() (transport.AuthMethod, error) {
	token, err := secretFrom("CONDUCTOR_LEDGER_TOKEN", f.tokenFile)
	return ledgerAuth(token), err
}
