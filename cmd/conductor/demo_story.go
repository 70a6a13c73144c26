package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/test/hub"
)

//go:embed demo
var demoFiles embed.FS

// story is the demo's plot. Everything that a person does goes over REST with
// that person's token, or over git; everything that the bot does, the bot does.
type story struct {
	dir     string
	out     io.Writer
	timeout time.Duration
	logger  *slog.Logger
	step    int

	hub    *hub.Hub
	server *server
	repo   hub.Repo
	audit  hub.Repo
	dana   person // writes the pull request
	omar   person // reviews and merges

	pull    *github.PullRequest
	comment *github.IssueComment
	merge   string // SHA of the merge commit
	summary demoSummary
}

// stepError is a step of the story that did not hold.
type stepError struct{ what string }

func (e stepError) Error() string { return e.what }

func held(ok bool, format string, a ...any) error {
	if ok {
		return nil
	}
	return stepError{fmt.Sprintf(format, a...)}
}

func (s *story) play(ctx context.Context, listen string) error {
	for _, chapter := range []func(context.Context) error{
		func(ctx context.Context) error { return s.startForge(listen) },
		s.startBot, s.openPullRequest, s.fixPullRequest, s.reviewAndMerge, s.readEntry, s.verifyLedger,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) close() {
	if s.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.server.Stop(ctx); err != nil {
			s.logger.Warn("bot did not stop cleanly", "err", err)
		}
	}
	if s.hub != nil {
		_ = s.hub.Close()
	}
}

func (s *story) say(title, format string, a ...any) {
	s.step++
	fmt.Fprintf(s.out, "\n%d. %s\n", s.step, title)
	s.tell(format, a...)
}

func (s *story) tell(format string, a ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, a...)) {
		fmt.Fprintf(s.out, "   %s\n", strings.TrimRight(line, "\n"))
	}
}

func (s *story) startForge(listen string) error {
	var err error
	s.hub, err = hub.Start(hub.Options{Dir: filepath.Join(s.dir, "hub"), Addr: listen, Logger: s.logger})
	if err != nil {
		return fmt.Errorf("start the GitHub emulator: %w", err)
	}
	users := map[string]hub.User{}
	for _, login := range []string{"dana", "omar", "ledger-writer"} {
		if users[login], err = s.hub.CreateUser(login); err != nil {
			return err
		}
	}
	if err := s.hub.CreateOrg("acme", "dana", "omar", "ledger-writer"); err != nil {
		return err
	}
	files, err := demoTree("base")
	if err != nil {
		return err
	}
	if s.repo, err = s.hub.CreateRepo("acme/platform", hub.RepoOptions{Files: files}); err != nil {
		return err
	}
	if s.audit, err = s.hub.CreateRepo("acme/audit", hub.RepoOptions{DenyRewrites: true}); err != nil {
		return err
	}
	s.dana, s.omar = newPerson(s.hub, users["dana"]), newPerson(s.hub, users["omar"])
	s.say("A forge on this machine", "%s\nacme/platform: two regulated tenants, budgets dev $4,000, stage $7,000, prod $12,000\n%s", s.hub.URL(), s.repo.HTMLURL)
	return s.prepareLedger(users["ledger-writer"])
}

// prepareLedger makes the signing keys and the first entry, CL-0. The credential
// that writes the audit repository isn't the App's.
func (s *story) prepareLedger(writer hub.User) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	s.server = &server{config: defaultConfig(), logger: s.logger}
	c := &s.server.config
	c.StateDir = filepath.Join(s.dir, "state")
	c.GitHub.URL = s.hub.URL()
	c.Ledger.PushInterval = 0 // the story waits for nothing
	c.Ledger.Remote, c.Ledger.KeysDir = s.audit.CloneURL, filepath.Join(s.dir, "keys")
	password, err := randomSecret()
	if err != nil {
		return err
	}
	s.server.secrets = Secrets{LedgerPassword: password, LedgerToken: Secret(writer.Token)}
	if err := initLedger(ctx, c.Ledger, s.server.secrets); err != nil {
		return err
	}
	s.say("An audit repository, signed from its first commit", "%s", s.audit.HTMLURL)
	return nil
}

func (s *story) startBot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	secret, err := randomSecret()
	if err != nil {
		return err
	}
	app, err := s.hub.CreateApp(hub.AppOptions{
		Name: "Conductor", Slug: "conductor", Permissions: appPermissions, Events: appEvents,
		WebhookURL: "http://" + listener.Addr().String() + "/webhook", WebhookSecret: string(secret),
	})
	if err != nil {
		return err
	}
	s.server.config.GitHub.AppID = app.ID
	s.server.secrets.PrivateKey, s.server.secrets.WebhookSecrets = app.PrivateKeyPEM, []Secret{secret}
	if err := s.server.Start(context.WithoutCancel(ctx), listener); err != nil {
		return err
	}
	if _, err := s.hub.Install(app.ID, "acme", s.repo.FullName); err != nil {
		return err
	}
	err = s.until(ctx, "the bot to watch the default branch", func() (bool, error) {
		_, known, err := s.server.ledger.Cursor(ctx, fmt.Sprint(s.repo.ID), s.repo.DefaultBranch)
		return known, err
	})
	if err != nil {
		return err
	}
	s.say("The bot, installed on acme/platform", "webhooks at http://%s/webhook, health at http://%s/healthz", listener.Addr(), listener.Addr())
	return nil
}

func (s *story) openPullRequest(ctx context.Context) error {
	head, err := s.dana.push(ctx, s.repo, "fraud-report", "Add the fraud report and scale payments-api", "change")
	if err != nil {
		return err
	}
	s.pull, err = s.dana.open(ctx, s.repo, "fraud-report", "Add the fraud report and scale payments-api")
	if err != nil {
		return err
	}
	s.summary.PullRequest.Number, s.summary.PullRequest.URL = s.pull.GetNumber(), s.pull.GetHTMLURL()
	checks, err := s.awaitChecks(ctx, head)
	if err != nil {
		return err
	}
	s.summary.PullRequest.FirstHead = checks
	s.say("Dana opens a pull request: an untagged workflow, and 16 replicas more", "%s", s.pull.GetHTMLURL())
	s.tellChecks(checks)
	if err := s.tellAnnotations(ctx, head); err != nil {
		return err
	}
	for _, c := range checks {
		if err := held(c.Conclusion == "failure" && c.Annotations > 0, "%s should have failed with annotations, and is %s with %d", c.Name, c.Conclusion, c.Annotations); err != nil {
			return err
		}
	}
	s.comment, err = s.botComment(ctx)
	if err != nil {
		return err
	}
	s.summary.PullRequest.CommentURL = s.comment.GetHTMLURL()
	s.tell("the bot's comment: %s", s.comment.GetHTMLURL())
	return nil
}

func (s *story) fixPullRequest(ctx context.Context) error {
	head, err := s.dana.push(ctx, s.repo, "fraud-report", "Tag the report and scale within the budget", "fix")
	if err != nil {
		return err
	}
	checks, err := s.awaitChecks(ctx, head)
	if err != nil {
		return err
	}
	s.summary.PullRequest.Checks = checks
	s.say("Dana pushes a fix", "%s", s.pull.GetHTMLURL())
	s.tellChecks(checks)
	for _, c := range checks {
		if err := held(c.Conclusion == "success", "%s should have passed after the fix, and is %s", c.Name, c.Conclusion); err != nil {
			return err
		}
	}
	was := s.comment
	err = s.until(ctx, "the comment to be updated", func() (bool, error) {
		s.comment, err = s.botComment(ctx)
		return err == nil && s.comment.GetBody() != was.GetBody(), err
	})
	if err != nil {
		return err
	}
	s.tell("the same comment, updated: %s", s.comment.GetHTMLURL())
	return held(s.comment.GetID() == was.GetID(), "the comment should have been edited in place, and there is a new one")
}

func (s *story) reviewAndMerge(ctx context.Context) error {
	if err := s.omar.approve(ctx, s.repo, s.pull.GetNumber()); err != nil {
		return err
	}
	merge, err := s.omar.merge(ctx, s.repo, s.pull.GetNumber())
	if err != nil {
		return err
	}
	s.merge = merge
	s.say("Omar approves and merges", "%s/commit/%s", s.repo.HTMLURL, merge)
	return nil
}

func (s *story) readEntry(ctx context.Context) error {
	var entry ledger.Entry
	err := s.until(ctx, "the merge to be recorded", func() (bool, error) {
		list, err := ledger.Entries(ctx, s.audit.GitDir, ledger.Filter{Limit: 1})
		if err != nil || len(list) == 0 || list[0].Change.Commit != s.merge {
			return false, err
		}
		entry = list[0]
		return true, nil
	})
	if err != nil {
		return err
	}
	c := entry.Change
	s.summary.Ledger.Entry, s.summary.Ledger.Path = entry.Name(), s.audit.GitDir
	s.summary.Ledger.EntryPath = entry.Path
	s.summary.Ledger.URL = s.audit.HTMLURL + "/blob/main/" + entry.Path
	s.say(fmt.Sprintf("The merge is entry %s of the ledger", entry.Name()), "%s", s.summary.Ledger.URL)
	approvers := 0
	for _, r := range c.Reviews {
		if r.ApprovedFinalHead {
			approvers++
		}
	}
	s.tell("%s of #%d, tenants %s, %d changes, %d approval of the final head", c.Method, c.PullRequest.Number, strings.Join(c.Tenants, ", "), len(c.Semantic), approvers)
	if err := held(entry.Name() == "CL-1", "the first merge should be CL-1, and is %s", entry.Name()); err != nil {
		return err
	}
	return held(approvers == 1 && c.Method == ledger.MethodMerge, "the entry should know the approval and the merge")
}

func (s *story) verifyLedger(ctx context.Context) error {
	report, err := ledger.Verify(ctx, s.audit.GitDir, ledger.VerifyOptions{})
	if err != nil {
		return err
	}
	s.summary.Ledger.Verified = report.Verified
	s.say("Anybody can verify it", "conductor ledger verify %s\n  verified: %t, %d entries in %d commits", s.audit.GitDir, report.Verified, report.Entries, report.Commits)
	if err := held(report.Verified, "the ledger should verify: %s", report.Problem()); err != nil {
		return err
	}
	commits, err := gitVerify(ctx, s.audit.GitDir, filepath.Join(s.dir, "clone"))
	if errors.Is(err, errNoKeygen) {
		s.tell("git verify-commit: skipped, because OpenSSH's ssh-keygen isn't installed here")
		return nil
	}
	ok := err == nil
	s.summary.Ledger.GitVerified = &ok
	if err != nil {
		return held(false, "git verify-commit: %v", err)
	}
	s.tell("git -c gpg.ssh.allowedSignersFile=keys/allowed_signers verify-commit\n  good signatures: %d of %d commits", commits, commits)
	return nil
}

// demoTree reads the files of one state of the sample repository.
func demoTree(name string) (map[string]string, error) {
	files := map[string]string{}
	root := "demo/" + name
	err := fs.WalkDir(demoFiles, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := demoFiles.ReadFile(path)
		to := strings.TrimPrefix(path, root+"/")
		if to == "dot-conductor.yaml" {
			to = ".conductor.yaml"
		}
		files[to] = string(data)
		return err
	})
	return files, err
}

// until polls until done says so, at most for the step's time.
func (s *story) until(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(s.timeout)
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return stepError{fmt.Sprintf("waited %s in vain for %s", s.timeout, what)}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
