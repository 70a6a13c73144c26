package ledger

import (
	_ "embed"
	"strings"
	"text/template"
)

// readmeTemplate is the audit repository's front page. Its ```sh blocks are run
// by a test, in a clone.
//
//go:embed readme.md.tmpl
var readmeTemplate string

var readmePage = template.Must(template.New("README.md").Parse(readmeTemplate))

// readme is README.md with the newest entries, newest first. A line of it that
// starts with "| [CL-" is an entry.
func readme(p *Public, rows []string) ([]byte, error) {
	var b strings.Builder
	err := readmePage.Execute(&b, map[string]any{
		"Origin": p.Origin, "Key": p.ID, "Principal": p.Principal(), "VKey": p.vkey(),
		"Fingerprint": p.Fingerprint(), "KeyEvent": entryBase(0), "Type": PredicateType,
		"Rows": summaryHead + strings.Join(rows, ""),
	})
	return []byte(b.String()), err
}

// newest puts the lines of new entries (oldest first) before the old ones.
func newest(rows []string, added []*entry) []string {
	out := make([]string, 0, readmeRows)
	for i := len(added) - 1; i >= 0 && len(out) < readmeRows; i-- {
		out = append(out, summary(added[i], ""))
	}
	return append(out, rows[:min(len(rows), readmeRows-len(out))]...)
}
