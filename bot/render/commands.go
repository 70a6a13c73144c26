package render

import (
	"fmt"
	"strings"

	"github.com/conductor-dev/conductor/manifests"
)

// Workflow commands of GitHub Actions: in the message, percent signs and line
// ends are escaped; in a property, colons and commas too.
var (
	commandMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GitHubCommands prints findings as annotations of a GitHub Actions run, and the
// verdict in a last plain line. Findings that were there before are left out.
func GitHubCommands(v manifests.Verdict) string {
	var b strings.Builder
	t := newTally(v.Findings, all)
	for _, group := range []struct {
		command  string
		findings []manifests.Finding
	}{{"error", t.errors}, {"warning", t.warnings}, {"notice", t.notices}} {
		for _, f := range group.findings {
			writeCommand(&b, group.command, f)
		}
	}
	fmt.Fprintf(&b, "conductor: %s, %s, verdict %s\n", count(len(t.errors), "problem"), count(len(t.warnings), "warning"), outcome(v))
	return b.String()
}

func writeCommand(b *strings.Builder, command string, f manifests.Finding) {
	fmt.Fprintf(b, "::%s file=%s,line=%d", command, commandProperty.Replace(clean(f.File, 4096)), max(f.Line, 1))
	if f.EndLine > f.Line {
		fmt.Fprintf(b, ",endLine=%d", f.EndLine)
	} else if f.Column > 0 {
		fmt.Fprintf(b, ",col=%d", f.Column)
	}
	message := clean(f.Message, maxMessage)
	if f.Remedy != "" {
		message += "\nFix: " + clean(f.Remedy, maxMessage)
	}
	fmt.Fprintf(b, ",title=%s::%s\n", commandProperty.Replace(clean(f.Rule, maxName)), commandMessage.Replace(message))
}
