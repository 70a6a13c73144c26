package hub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options configures a Hub. The zero value works: a temporary folder, a free port
// on loopback, the real clock and crypto/rand.
type Options struct {
	// Dir holds the repositories; "" is a temporary folder that Close removes.
	Dir string
	// Addr is the address to listen on; "" is 127.0.0.1:0.
	Addr string
	// AllowRemote permits an Addr and webhook URLs that aren't loopback.
	AllowRemote bool
	// Now is the clock of everything that is recorded; nil is time.Now.
	Now func() time.Time
	// Rand makes tokens and delivery ids; nil is crypto/rand.
	Rand io.Reader
	// Seed decides which requests a Fault with a Probability hits.
	Seed uint64
	// Logger gets one debug line per request; nil is silent.
	Logger *slog.Logger
	// RateLimit is the REST quota per token owner and hour; 0 is 5000.
	RateLimit int
	// WebhookTimeout bounds one delivery; 0 is GitHub's 10 s.
	WebhookTimeout time.Duration
	// IndexLag is for how long after a merge GET commits/{sha}/pulls doesn't know
	// of it yet, by Now. GitHub takes seconds to minutes; 0 is at once.
	IndexLag time.Duration
	// Middleware wraps the REST API, to watch what is said. Responses of injected
	// faults carry the header X-Hub-Fault.
	Middleware func(http.Handler) http.Handler
}

// Hub is a running emulator. Its methods are safe for concurrent use.
type Hub struct {
	opt     Options
	dir     string
	ownsDir bool
	url     string
	backend string // path of git http-backend
	log     *slog.Logger
	server  *http.Server
	routes  []route
	ctx     context.Context // ends at Close
	stop    context.CancelFunc
	wg      sync.WaitGroup // serving loop and webhook workers
	once    sync.Once

	randMu sync.Mutex // guards opt.Rand

	faults   faultSet
	requests requestLog
	quota    rateLimiter

	mu       sync.Mutex // guards everything below
	ids      int64
	accounts map[string]*account // by lower-case login
	tokens   map[string]*token   // personal and installation tokens
	repos    map[int64]*repo
	names    map[string]*repo // by lower-case owner/name
	apps     map[int64]*app
	installs map[int64]*installation
	runs     map[int64]*checkRun
	suites   map[int64]*checkSuite
	comments map[int64]*comment
}

// Start starts a hub and returns when it is listening. The machine needs git 2.38
// or later.
func Start(opt Options) (*Hub, error) {
	if opt.Addr == "" {
		opt.Addr = "127.0.0.1:0"
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.RateLimit == 0 {
		opt.RateLimit = 5000
	}
	if opt.WebhookTimeout == 0 {
		opt.WebhookTimeout = 10 * time.Second
	}
	if err := loopbackOnly(opt.Addr, opt.AllowRemote); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", opt.Addr, err)
	}
	h := &Hub{
		opt: opt, dir: opt.Dir, log: opt.Logger, ids: 1000,
		accounts: map[string]*account{}, tokens: map[string]*token{},
		repos: map[int64]*repo{}, names: map[string]*repo{},
		apps: map[int64]*app{}, installs: map[int64]*installation{},
		runs: map[int64]*checkRun{}, suites: map[int64]*checkSuite{},
		comments: map[int64]*comment{},
	}
	h.faults.init(opt.Seed)
	h.quota.init(opt.RateLimit, opt.Now)
	h.ctx, h.stop = context.WithCancel(context.Background())
	if err := h.prepare(); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

// prepare makes the folder, finds git and begins to listen.
func (h *Hub) prepare() (err error) {
	if h.dir == "" {
		if h.dir, err = os.MkdirTemp("", "hub-"); err != nil {
			return fmt.Errorf("make the hub's folder: %w", err)
		}
		h.ownsDir = true
	}
	defer func() {
		if err != nil && h.ownsDir {
			os.RemoveAll(h.dir)
		}
	}()
	if h.dir, err = filepath.Abs(h.dir); err != nil {
		return err
	}
	for _, d := range []string{"repos", "spool", "home"} {
		if err := os.MkdirAll(filepath.Join(h.dir, d), 0o755); err != nil {
			return fmt.Errorf("make the hub's folder: %w", err)
		}
	}
	if h.backend, err = findBackend(h.ctx); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", h.opt.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", h.opt.Addr, err)
	}
	h.url = "http://" + ln.Addr().String()
	h.addAccount("web-flow", "User")
	h.routes = table()
	h.server = &http.Server{
		Handler:           h.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return h.ctx },
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	h.wg.Go(func() {
		if err := h.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("hub stopped serving", "err", err)
		}
	})
	return nil
}

// Close stops the hub: no new requests or deliveries, running ones get a moment to
// end, git processes are waited for. It removes a temporary folder.
func (h *Hub) Close() error {
	var err error
	h.once.Do(func() {
		h.stop() // ends git processes, hung requests and deliveries
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if e := h.server.Shutdown(ctx); e != nil {
			err = errors.Join(err, h.server.Close())
		}
		h.wg.Wait()
		if h.ownsDir {
			err = errors.Join(err, os.RemoveAll(h.dir))
		}
	})
	return err
}

// URL is the base for people and for git, without a slash at the end.
func (h *Hub) URL() string { return h.url }

// APIURL is the base of the REST API, without a slash at the end, as ghinstallation
// wants it.
func (h *Hub) APIURL() string { return h.url + "/api/v3" }

// now is the clock in GitHub's resolution, one second.
func (h *Hub) now() time.Time { return h.opt.Now().UTC().Truncate(time.Second) }

// nextID numbers everything that GitHub numbers. Hub.mu is held.
func (h *Hub) nextID() int64 {
	h.ids++
	return h.ids
}

// random returns n random bytes in hex.
func (h *Hub) random(n int) (string, error) {
	h.randMu.Lock()
	defer h.randMu.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(h.opt.Rand, b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

func loopbackOnly(hostport string, allowRemote bool) error {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); allowRemote || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("not a loopback address; set AllowRemote to permit it")
}
