package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/conductor-dev/conductor/ledger"
)

// Config is the configuration of conductor serve: a YAML file, over which
// environment variables win. Secrets are files or environment variables, never
// flags, and aren't part of this struct but for their places.
type Config struct {
	// Listen is the address of the webhook intake and health pages.
	Listen string `yaml:"listen"`
	// StateDir holds the database and the mirrors. Only one process may use it.
	StateDir string       `yaml:"stateDir"`
	GitHub   GitHubConfig `yaml:"github"`
	Ledger   LedgerConfig `yaml:"ledger"`
	// SweepEvery is how often everything is looked at again without an event.
	SweepEvery Duration  `yaml:"sweepEvery"`
	Log        LogConfig `yaml:"log"`
}

// GitHubConfig says which App we are, and where.
type GitHubConfig struct {
	// URL is https://github.com or an Enterprise Server.
	URL            string `yaml:"url"`
	AppID          int64  `yaml:"appId"`
	PrivateKeyFile string `yaml:"privateKeyFile"`
	// WebhookSecretFiles are one secret, or two while rotating.
	WebhookSecretFiles []string `yaml:"webhookSecretFiles"`
}

// LedgerConfig says where the audit repository is and how to sign.
type LedgerConfig struct {
	// Remote is a local bare repository, which is created when it isn't there, or
	// an HTTPS URL.
	Remote string `yaml:"remote"`
	// Origin is the bare host name of the transparency log, fixed when the audit
	// repository is created.
	Origin  string `yaml:"origin"`
	KeysDir string `yaml:"keysDir"`
	// PasswordFile holds the password of the key files.
	PasswordFile string `yaml:"passwordFile"`
	// TokenFile holds a token with contents:write on the audit repository alone.
	TokenFile string `yaml:"tokenFile"`
	// PushInterval is the least time between two pushes; entries wait for the next
	// one. GitHub advises at most 6 pushes a minute to a repository.
	PushInterval Duration `yaml:"pushInterval"`
	// Backfill records the whole history of newly watched branches.
	Backfill bool `yaml:"backfill"`
}

// LogConfig is how the process logs to standard error.
type LogConfig struct {
	Level  slog.Level `yaml:"level"`  // debug, info, warn, error
	Format string     `yaml:"format"` // json or text
}

// Duration is a time.Duration that YAML writes as "5m".
type Duration time.Duration

// UnmarshalYAML reads "90s", "5m", "1h".
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a duration such as 5m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

func defaultConfig() Config {
	return Config{
		Listen:     ":8080",
		StateDir:   "conductor-state",
		GitHub:     GitHubConfig{URL: "https://github.com"},
		Ledger:     LedgerConfig{Origin: ledger.DefaultOrigin, PushInterval: Duration(10 * time.Second)},
		SweepEvery: Duration(5 * time.Minute),
		Log:        LogConfig{Format: "json"},
	}
}

// Secrets are what the configuration's files and the environment hold.
type Secrets struct {
	PrivateKey     Secret
	WebhookSecrets []Secret
	LedgerPassword Secret
	LedgerToken    Secret
}

// Secret is bytes that neither logs nor errors show.
type Secret []byte

// String hides the secret from every formatting verb that uses it.
func (Secret) String() string { return "REDACTED" }

// GoString hides it from %#v.
func (Secret) GoString() string { return "REDACTED" }

// LogValue hides it from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// loadConfig reads the file and the environment and checks all of it, so that one
// message names everything that is missing.
func loadConfig(path string, getenv func(string) string) (Config, Secrets, error) {
	c := defaultConfig()
	data, err := os.ReadFile(path)
	if err != nil {
		return c, Secrets{}, usageError{fmt.Errorf("read the configuration: %w", err)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, Secrets{}, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	if err := c.override(getenv); err != nil {
		return c, Secrets{}, usageError{err}
	}
	secrets, problems := c.secrets(getenv)
	problems = append(c.problems(), problems...)
	if len(problems) > 0 {
		return c, secrets, usageError{fmt.Errorf("%s: the configuration isn't complete:\n  - %s", path, strings.Join(problems, "\n  - "))}
	}
	return c, secrets, nil
}

// override takes settings from the environment.
func (c *Config) override(getenv func(string) string) error {
	for name, into := range map[string]*string{
		"CONDUCTOR_LISTEN": &c.Listen, "CONDUCTOR_STATE_DIR": &c.StateDir, "CONDUCTOR_GITHUB_URL": &c.GitHub.URL,
		"CONDUCTOR_LEDGER_REMOTE": &c.Ledger.Remote, "CONDUCTOR_LEDGER_KEYS_DIR": &c.Ledger.KeysDir,
	} {
		if v := getenv(name); v != "" {
			*into = v
		}
	}
	if v := getenv("CONDUCTOR_GITHUB_APP_ID"); v != "" {
		id, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return fmt.Errorf("CONDUCTOR_GITHUB_APP_ID: %q is not a number", v)
		}
		c.GitHub.AppID = id
	}
	return nil
}

func (c *Config) secrets(getenv func(string) string) (s Secrets, problems []string) {
	read := func(what, env string, required bool, files ...string) []Secret {
		if v := getenv(env); v != "" {
			return []Secret{Secret(v)}
		}
		var list []Secret
		before := len(problems)
		for _, f := range files {
			if f == "" {
				continue
			}
			data, err := os.ReadFile(f)
			data = bytes.TrimSpace(data)
			switch {
			case err != nil:
				problems = append(problems, fmt.Sprintf("%s: %v", what, err))
			case len(data) == 0:
				problems = append(problems, fmt.Sprintf("%s: %s is empty", what, f))
			default:
				list = append(list, data)
			}
		}
		if len(list) == 0 && required && len(problems) == before {
			problems = append(problems, fmt.Sprintf("%s is missing: set it in the file, or %s in the environment", what, env))
		}
		return list
	}
	first := func(list []Secret) Secret {
		if len(list) == 0 {
			return nil
		}
		return list[0]
	}
	s.PrivateKey = first(read("github.privateKeyFile", "CONDUCTOR_GITHUB_PRIVATE_KEY", true, c.GitHub.PrivateKeyFile))
	s.WebhookSecrets = read("github.webhookSecretFiles", "CONDUCTOR_WEBHOOK_SECRET", true, c.GitHub.WebhookSecretFiles...)
	s.LedgerPassword = first(read("ledger.passwordFile", "CONDUCTOR_LEDGER_PASSWORD", true, c.Ledger.PasswordFile))
	s.LedgerToken = first(read("ledger.tokenFile", "CONDUCTOR_LEDGER_TOKEN", false, c.Ledger.TokenFile))
	return s, problems
}

// problems lists what keeps the server from starting.
func (c *Config) problems() []string {
	var list []string
	missing := func(bad bool, format string, a ...any) {
		if bad {
			list = append(list, fmt.Sprintf(format, a...))
		}
	}
	u, err := url.Parse(c.GitHub.URL)
	missing(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http",
		"github.url: %q is not a URL such as https://github.com", c.GitHub.URL)
	missing(err == nil && u.User != nil, "github.url must not hold credentials")
	missing(c.GitHub.AppID <= 0, "github.appId is missing: the App's settings page shows it")
	missing(len(c.GitHub.WebhookSecretFiles) > 2, "github.webhookSecretFiles: at most two, the new secret and the old one")
	missing(c.Ledger.Remote == "", "ledger.remote is missing: a folder for a local audit repository, or an HTTPS URL")
	missing(c.Ledger.KeysDir == "", "ledger.keysDir is missing: 'conductor ledger init' makes the keys")
	missing(c.Ledger.PushInterval < 0 || c.Ledger.PushInterval > Duration(5*time.Minute), "ledger.pushInterval must be between 0s and 5m")
	missing(c.Listen == "", "listen is empty")
	missing(c.StateDir == "", "stateDir is empty")
	missing(c.SweepEvery < Duration(time.Second), "sweepEvery must be at least 1s")
	missing(c.Log.Format != "json" && c.Log.Format != "text", "log.format: %q is neither json nor text", c.Log.Format)
	return list
}

func (c *Config) database() string { return filepath.Join(c.StateDir, "conductor.db") }

// checkpoint is where the last checkpoint is remembered.
func (c *Config) checkpoint() string { return filepath.Join(c.StateDir, "ledger.checkpoint") }
func (c *Config) mirrors() string    { return filepath.Join(c.StateDir, "mirrors") }
