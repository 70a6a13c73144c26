package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/bot/github"
	"github.com/conductor-dev/conductor/bot/webhook"
	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/queue"
	"github.com/conductor-dev/conductor/reconcile/source"
	"github.com/conductor-dev/conductor/reconcile/state"
)

// appPermissions and appEvents are what the GitHub App asks for. It can't write
// contents: the audit repository is written with a credential of its own.
var (
	appPermissions = map[string]string{
		"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write",
	}
	appEvents = []string{"pull_request", "pull_request_review", "push", "check_run", "check_suite", "merge_group", "repository"}
)

// stopWithin bounds a graceful shutdown: work that isn't done by then is released
// and taken up again after the next start.
const stopWithin = 20 * time.Second

func newServe() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the GitHub App",
		Long: `Run the GitHub App: receive webhooks, judge pull requests, record merges.

The configuration is a YAML file; environment variables win over it. Secrets come
from files or the environment, never from flags:

  CONDUCTOR_GITHUB_APP_ID       CONDUCTOR_GITHUB_PRIVATE_KEY   CONDUCTOR_WEBHOOK_SECRET
  CONDUCTOR_LEDGER_PASSWORD     CONDUCTOR_LEDGER_TOKEN         CONDUCTOR_LEDGER_REMOTE
  CONDUCTOR_LEDGER_KEYS_DIR     CONDUCTOR_LISTEN               CONDUCTOR_STATE_DIR
  CONDUCTOR_GITHUB_URL

It serves POST /webhook, GET /healthz and GET /readyz.`,
		Example: "  conductor serve --config /etc/conductor/conductor.yaml",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return usageError{errors.New("--config is missing: name the configuration file")}
			}
			return runServe(cmd.Context(), cmd.ErrOrStderr(), path)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file")
	return cmd
}

func runServe(ctx context.Context, logs io.Writer, path string) error {
	config, secrets, err := loadConfig(path, os.Getenv)
	if err != nil {
		return err
	}
	s := &server{config: config, secrets: secrets, logger: newLogger(logs, config.Log)}
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return usageError{fmt.Errorf("listen: %w", err)}
	}
	if err := s.Start(context.WithoutCancel(ctx), listener); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.logger.Info("serving", "address", listener.Addr().String(), "version", buildVersion())

	var failed error
	select {
	case <-ctx.Done():
		s.logger.Info("stopping")
	case failed = <-s.failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(failed, s.Stop(stop))
}

func newLogger(w io.Writer, c LogConfig) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// server is the running App: every part is built here, in order, by name.
type server struct {
	config  Config
	secrets Secrets
	logger  *slog.Logger

	db     *state.DB
	ledger *ledger.Log
	queue  *queue.Queue
	http   *http.Server
	sweep  context.CancelFunc
	swept  chan struct{} // closed when the sweeper has ended
	failed chan error    // the HTTP server's end, if it wasn't asked for
}

// Start builds and starts everything and returns once webhooks are accepted.
// Nothing goes on when it returns an error.
func (s *server) Start(ctx context.Context, listener net.Listener) (err error) {
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(ctx, stopWithin)
			defer cancel()
			err = errors.Join(err, s.Stop(stop))
		}
	}()
	if err := os.MkdirAll(s.config.StateDir, 0o700); err != nil {
		return usageError{fmt.Errorf("make the state folder: %w", err)}
	}
	if s.db, err = state.Open(ctx, s.config.database()); err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	app, err := github.New(github.Config{
		ID: s.config.GitHub.AppID, PrivateKey: github.PrivateKey(s.secrets.PrivateKey), BaseURL: s.config.GitHub.URL,
		UserAgent: "conductor/" + buildVersion(),
	})
	if err != nil {
		return usageError{fmt.Errorf("github: %w", err)}
	}
	if err := s.openLedger(ctx); err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	if err := s.startQueue(ctx, app); err != nil {
		return err
	}
	return s.startIntake(listener)
}

// openLedger opens the ledger where it was left: one that doesn't extend the last
// checkpoint that this bot saw was rewritten, and is refused.
func (s *server) openLedger(ctx context.Context) error {
	seen, err := os.ReadFile(s.config.checkpoint())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the last checkpoint: %w", err)
	}
	s.ledger, err = ensureLedger(ctx, s.config.Ledger, s.secrets, ledger.Options{Logger: s.logger, Seen: seen}, os.Stderr)
	return err
}

// remembering is a ledger whose last checkpoint survives a restart.
type remembering struct {
	*ledger.Log
	path string
	mu   sync.Mutex // held while the file is written
}

// Append appends and remembers the checkpoint that it gave. A checkpoint that
// can't be written is no reason to append again: the next one replaces it.
func (r *remembering) Append(ctx context.Context, b ledger.Batch) ([]ledger.Receipt, error) {
	receipts, err := r.Log.Append(ctx, b)
	if err != nil {
		return receipts, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := r.path + ".new"
	if err := os.WriteFile(fresh, r.Checkpoint(), 0o600); err == nil {
		_ = os.Rename(fresh, r.path)
	}
	return receipts, nil
}

// startQueue wires the loops to the queue and starts both it and the sweeper.
func (s *server) startQueue(ctx context.Context, app *github.App) (err error) {
	mirrors := source.NewMirrors(s.config.mirrors())
	pull := &reconcile.Pull{
		Store: s.db, Mirrors: mirrors, Credentials: app, Forge: app, Reporter: app,
		Now: time.Now, Logger: s.logger,
	}
	branch := &reconcile.Branch{
		Ledger: &remembering{Log: s.ledger, path: s.config.checkpoint()}, Mirrors: mirrors, Credentials: app, Facts: &reconcile.Facts{Forge: app, Now: time.Now},
		Now: time.Now, Logger: s.logger, Backfill: s.config.Ledger.Backfill,
	}
	installation := &reconcile.Installation{Installer: app, Watchlist: s.db, Logger: s.logger}
	s.queue, err = queue.New(ctx, s.db, queue.Options{
		Logger: s.logger,
		Workers: map[reconcile.KeyKind]func(context.Context, reconcile.Key) error{
			reconcile.KeyPull: pull.Reconcile,
			reconcile.KeyBranch: func(ctx context.Context, key reconcile.Key) error {
				repo, watched, err := s.db.Repo(ctx, key.Repo)
				if err != nil || !watched || key.Branch != repo.DefaultBranch {
					return err
				}
				_, err = branch.Reconcile(ctx, repo, key.Branch)
				return err
			},
			reconcile.KeyInstallation: installation.Reconcile,
		},
	})
	if err != nil {
		return fmt.Errorf("make the queue: %w", err)
	}
	installation.Queue = s.queue
	if err := s.queue.Start(ctx); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	s.startSweeper(ctx, installation)
	return nil
}

// keepDeliveries is how long worked deliveries are remembered: longer than the
// three days (seven on an Enterprise Server) that GitHub redelivers them.
const keepDeliveries = 8 * 24 * time.Hour

// startSweeper looks at everything once now, for what was missed while nobody
// listened, and then at every interval. It also forgets old deliveries.
func (s *server) startSweeper(ctx context.Context, installation *reconcile.Installation) {
	ctx, s.sweep = context.WithCancel(ctx)
	s.swept = make(chan struct{})
	go func() {
		defer close(s.swept)
		tick := time.NewTicker(time.Duration(s.config.SweepEvery))
		defer tick.Stop()
		for {
			if err := installation.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("sweep", "err", err)
			}
			if _, err := s.db.Prune(ctx, time.Now().Add(-keepDeliveries)); err != nil && ctx.Err() == nil {
				s.logger.Error("prune deliveries", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

func (s *server) startIntake(listener net.Listener) error {
	secrets := make([][]byte, len(s.secrets.WebhookSecrets))
	for i, secret := range s.secrets.WebhookSecrets {
		secrets[i] = secret
	}
	intake, err := webhook.New(webhook.Options{
		Secrets: secrets, Logger: s.logger,
		Accept: func(ctx context.Context, e reconcile.Event) (bool, error) {
			accepted, err := s.queue.Accept(ctx, e)
			return accepted.Duplicate, err
		},
	})
	if err != nil {
		return usageError{err}
	}
	mux := http.NewServeMux()
	mux.Handle("/webhook", intake)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	s.failed = make(chan error, 1)
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve: %w", err)
		}
	}()
	return nil
}

// ready says whether the database answers and the oldest work isn't late.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	stats, err := s.queue.Stats(r.Context())
	if err != nil {
		http.Error(w, "the state doesn't answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = writeJSON(w, map[string]any{"ready": true, "ledger_entries": s.ledger.Size(), "queue": map[string]any{
		"due": stats.Pending, "waiting": stats.Waiting, "failing": stats.Failing, "permanent": stats.Permanent,
		"running": stats.Running, "oldest_due_seconds": int(stats.Age.Seconds()),
	}})
}

// Stop ends the intake first, then the loops, then the stores. Work that isn't
// done in time stays queued.
func (s *server) Stop(ctx context.Context) error {
	var errs []error
	if s.http != nil {
		errs = append(errs, s.http.Shutdown(ctx))
	}
	if s.sweep != nil {
		s.sweep()
		<-s.swept
	}
	if s.queue != nil {
		errs = append(errs, s.queue.Stop(ctx))
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
