package render

import (
	"fmt"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
)

// The names of the check runs. Branch protection rules name them: they never
// change.
const (
	TenantsCheck = "conductor/tenants"
	BudgetCheck  = "conductor/budget"
)

// Limits of GitHub's check runs.
const (
	// MaxOutput bounds summary and text each, in characters; we count bytes.
	MaxOutput = 65535
	// MaxAnnotations bounds the annotations that we post for a check run. GitHub
	// takes 50 a request, so this is 10 requests in the worst case; the summary
	// says how many more there are.
	MaxAnnotations = 500
	// maxPath bounds the path of an annotation, in runes: PATH_MAX on Linux.
	maxPath = 4096
)

// CheckRun is a completed check run as it is to be posted.
type CheckRun struct {
	Name       string               `json:"name"`
	Conclusion manifests.Conclusion `json:"conclusion"`
	Title      string               `json:"title"`
	Summary    string               `json:"summary"` // Markdown, at most MaxOutput bytes
	Text       string               `json:"text,omitempty"`
	// Annotations are sorted: failures, warnings, notices, each by place.
	Annotations []Annotation `json:"annotations,omitempty"`
}

// Level is an annotation's level in GitHub's words.
type Level string

const (
	LevelFailure Level = "failure"
	LevelWarning Level = "warning"
	LevelNotice  Level = "notice"
)

// Annotation is a note at lines of a file. Its texts are plain, not Markdown.
type Annotation struct {
	Path    string `json:"path"`
	Line    int    `json:"line"`             // 1-based
	EndLine int    `json:"end_line"`         // at least Line
	Column  int    `json:"column,omitempty"` // 1-based; 0: whole lines
	Level   Level  `json:"level"`
	Title   string `json:"title"`
	Message string `json:"message"`
	Details string `json:"details,omitempty"` // at most 64 KB
}

// Checks are the check runs of a report, in a fixed order.
func Checks(r reconcile.Report) []CheckRun {
	p := page{repository: r.Repo.HTMLURL, head: string(r.Head), verdict: r.Verdict}
	tenants := newTally(r.Verdict.Findings, ofTenants)
	budget := newTally(r.Verdict.Findings, ofBudget)
	return []CheckRun{
		p.run(TenantsCheck, r.Verdict.Tenants, tenants, p.changes()),
		p.run(BudgetCheck, r.Verdict.Budget, budget, p.cost()),
	}
}

func (p page) run(name string, result manifests.CheckResult, t tally, body string) CheckRun {
	c := CheckRun{Name: name, Conclusion: result.Conclusion, Title: clean(result.Title, 120)}
	if c.Conclusion == "" {
		c.Conclusion = manifests.Neutral
	}
	if c.Title == "" {
		c.Title = string(c.Conclusion)
	}
	c.Annotations = annotations(t)
	c.Summary = p.problems(t) + body
	if n := len(t.errors) + len(t.warnings) + len(t.notices) - len(c.Annotations); n > 0 {
		c.Summary = fmt.Sprintf("%s annotated in the diff, %d more are not. `conductor check` lists all.\n\n",
			count(len(c.Annotations), "finding"), n) + c.Summary
	}
	if c.Summary == "" {
		c.Summary = "Nothing to report.\n"
	}
	c.Text = p.existing(t.existing, MaxOutput)
	return c
}

// annotations puts failures first, so that a reader who sees only some of them
// sees those. Findings that were there before aren't annotated: they'd drown the
// change's own. Nor are those whose path isn't plain text: GitHub would refuse the
// whole run.
func annotations(t tally) []Annotation {
	var out []Annotation
	for _, group := range []struct {
		level    Level
		findings []manifests.Finding
	}{{LevelFailure, t.errors}, {LevelWarning, t.warnings}, {LevelNotice, t.notices}} {
		for _, f := range group.findings {
			if len(out) == MaxAnnotations {
				return out
			}
			if f.File == "" || clean(f.File, maxPath) != f.File {
				continue
			}
			out = append(out, annotation(f, group.level))
		}
	}
	return out
}

func annotation(f manifests.Finding, level Level) Annotation {
	a := Annotation{
		Path: f.File, Line: max(f.Line, 1), EndLine: f.EndLine, Column: f.Column, Level: level,
		Title:   clean(f.Rule, maxName),
		Message: clean(f.Message, maxMessage),
	}
	if f.Remedy != "" {
		a.Message += "\nFix: " + clean(f.Remedy, maxMessage)
	}
	if a.EndLine < a.Line {
		a.EndLine = a.Line
	}
	if a.EndLine != a.Line {
		a.Column = 0 // GitHub takes columns only within one line
	}
	if f.Resource != "" {
		a.Details = clean(f.Resource, maxName) + "\n"
	}
	a.Details += "More: conductor explain " + a.Title
	return a
}
