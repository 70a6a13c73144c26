package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// PolicyFile is the path, from the repository's root, of its policy.
	PolicyFile = ".conductor.yaml"
	// MaxFileBytes is the size above which a file isn't read: 1 MiB. etcd, and so
	// Kubernetes, refuses objects larger than 1.5 MiB.
	MaxFileBytes = 1 << 20
	// maxLocatable is the size up to which a syntax error is narrowed down to its
	// exact line by parsing prefixes.
	maxLocatable = 64 << 10
)

// File is one parsed manifest file. It is immutable to callers and safe for
// concurrent use; it may be cached by (path, content) and shared by snapshots.
// It remembers its last evaluation, so that judging shared files again is cheap.
type File struct {
	path      string
	resources []*resource
	findings  []found // of the bytes and of our kinds; without policy
	// opaque is true when a part of the file could not be understood.
	opaque bool
	// refused is true when the file was not even parsed.
	refused bool
	// braces is true when the bytes hold a template action.
	braces  bool
	policy  *policyDoc // of PolicyFile only
	special bool       // holds a document that other files' results depend on
	lines   []int      // see lineOf
	memo    atomic.Pointer[evaluation]
}

// Path is the file's path as it was given.
func (f *File) Path() string { return f.path }

// Selects reports whether Conductor looks at a path at all: YAML files, the
// policy file among them.
func Selects(p string) bool {
	ext := strings.ToLower(path.Ext(p))
	return ext == ".yaml" || ext == ".yml"
}

// Parse reads a file's bytes. It never fails: what is wrong becomes a finding.
// path is slash-separated, from the repository's root. data isn't kept.
func Parse(path string, data []byte) *File {
	if detail := badPath(path); detail != "" {
		return Refuse(path, "file/bad-path", detail)
	}
	if len(data) > MaxFileBytes {
		return Refuse(path, "file/too-large", fmt.Sprintf("%d bytes, more than %d", len(data), MaxFileBytes))
	}
	f := &File{path: path, braces: bytes.Contains(data, []byte("{{")), lines: oddLines(data)}
	f.parse(data)
	for i := range f.findings {
		f.findings[i].File = path
		f.findings[i].Line = max(1, f.findings[i].Line)
		f.findings[i].Column = max(1, f.findings[i].Column)
	}
	return f
}

// Refuse stands for a file that was not read, by the caller's decision: rule is
// file/symlink, file/submodule, file/too-large, file/bad-path or
// file/unreadable, detail a few words on why. The finding is always reported.
func Refuse(path, rule, detail string) *File {
	r, known := Explain(rule)
	if !known {
		r, _ = Explain("file/unreadable")
	}
	message := r.Summary
	if detail != "" {
		message += ": " + clean(detail, 120)
	}
	return &File{path: path, opaque: true, refused: true, findings: []found{{Finding: Finding{
		Rule: r.ID, Severity: r.Default, File: clean(path, 500), Line: 1, Column: 1, Message: message, Remedy: r.Remedy,
	}}}}
}

// badPath says what makes a path unfit, or "".
func badPath(p string) string {
	switch {
	case p == "":
		return "the path is empty"
	case !utf8.ValidString(p):
		return "the path isn't UTF-8"
	case len(p) > 4096:
		return "the path is longer than 4,096 bytes"
	case strings.HasPrefix(p, "/") || len(p) > 1 && p[1] == ':':
		return "the path is absolute"
	case strings.Contains(p, "\\"):
		return "the path holds a backslash"
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }):
		return "the path holds a control character"
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return "the path has an empty, . or .. component"
		}
	}
	return ""
}

func (f *File) parse(data []byte) {
	if line, col, what := badText(data); what != "" {
		f.syntax(line, col, what)
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	c := converter{file: f}
	for doc := 0; ; doc++ {
		y, err := decode(dec)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			f.parseError(data, err)
			return
		}
		n, bad := c.document(y)
		if bad != nil {
			f.opaque = true
			r, _ := Explain(bad.rule)
			f.note(Finding{Rule: bad.rule, Line: f.lineOf(bad.line), Column: bad.col, Message: bad.message, Remedy: r.Remedy})
			continue
		}
		if f.path == PolicyFile {
			if doc == 0 {
				f.policy = decodePolicy(f, n)
			} else if n != nil {
				f.note(Finding{Rule: "schema/invalid-value", Line: int(n.line), Column: int(n.col),
					Message: PolicyFile + " has more than one document", Remedy: "keep one document in " + PolicyFile})
			}
			continue
		}
		f.addDocument(n, 0)
	}
}

// decode reads one document; a panic of the parser is an error like any other.
func decode(dec *yaml.Decoder) (y *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser gave up")
		}
	}()
	y = new(yaml.Node)
	return y, dec.Decode(y)
}

// note records a finding about the file's own text.
func (f *File) note(x Finding) {
	if len(f.findings) >= maxFindingsPerFile {
		return
	}
	if x.Severity == "" {
		r, _ := Explain(x.Rule)
		x.Severity = r.Default
	}
	f.findings = append(f.findings, found{Finding: x})
}

func (f *File) syntax(line, col int, what string) {
	f.opaque = true
	f.note(Finding{Rule: "yaml/syntax", Line: line, Column: col, Message: "this isn't valid YAML: " + clean(what, 160),
		Remedy: "fix the syntax on or just before this line"})
}

// parseError turns an error of yaml.v3 into a finding at the right line. The
// line in its text is that of the surrounding construct, or missing, so that the line
// is found as the shortest prefix of the file that fails in the same way.
func (f *File) parseError(data []byte, err error) {
	line, what := splitError(err)
	if strings.Contains(what, "exceeded max depth") {
		f.opaque = true
		r, _ := Explain("yaml/too-deep")
		f.note(Finding{Rule: "yaml/too-deep", Line: line, Message: fmt.Sprintf("values are nested more than %d levels deep", maxDepth), Remedy: r.Remedy})
		return
	}
	if len(data) <= maxLocatable {
		line = locate(data, what)
	}
	f.syntax(line, firstColumn(data, line), what)
}

// splitError takes "yaml: line 3: text" apart; the line is 1 where there is none.
func splitError(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	line = 1
	if n, _ := fmt.Sscanf(what, "line %d: ", &line); n == 1 {
		_, what, _ = strings.Cut(what, ": ")
	}
	return max(1, line), what
}

// locate finds the smallest number of lines that fail with the same words.
func locate(data []byte, what string) int {
	var ends []int
	for i, b := range data {
		if b == '\n' || i == len(data)-1 {
			ends = append(ends, i+1)
		}
	}
	fails := func(n int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(data[:ends[n-1]]))
		for {
			if _, err := decode(dec); err != nil {
				_, w := splitError(err)
				return w == what
			}
		}
	}
	lo, hi := 1, max(1, len(ends))
	for lo < hi {
		if mid := (lo + hi) / 2; fails(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

func firstColumn(data []byte, line int) int {
	for ; line > 1; line-- {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return 1
		}
		data = data[i+1:]
	}
	return 1 + len(data) - len(bytes.TrimLeft(data, " \t\ufeff"))
}

// badText finds the first byte that YAML doesn't allow: yaml.v3 refuses the same
// ones, but doesn't say where.
func badText(data []byte) (line, col int, what string) {
	line, col = 1, 1
	for i := 0; i < len(data); {
		b := data[i]
		if b >= ' ' && b < 0x7f || b == '\t' || b == '\r' {
			i, col = i+1, col+1
			continue
		}
		if b == '\n' {
			i, line, col = i+1, line+1, 1
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			return line, col, "the file isn't UTF-8 text"
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff:
			return line, col, fmt.Sprintf("the control character U+%04X isn't allowed", r)
		case r != 0xfeff:
			col++
		}
		i += n
	}
	return 0, 0, ""
}

// oddLines maps the parser's lines to the ones editors and git count, for files
// in which YAML sees line breaks that they don't: lone carriage returns, NEL, LS
// and PS. It is nil for every ordinary file.
func oddLines(data []byte) []int {
	odd := bytes.Contains(data, []byte("\u0085")) || bytes.Contains(data, []byte("\u2028")) || bytes.Contains(data, []byte("\u2029"))
	for i := 0; !odd; i++ {
		at := bytes.IndexByte(data[i:], '\r')
		if at < 0 {
			return nil
		}
		i += at
		odd = i+1 == len(data) || data[i+1] != '\n'
	}
	lines := []int{1, 1}
	line := 1
	for i, r := range string(data) {
		switch {
		case r == '\n':
			line++
			lines = append(lines, line)
		case r == '\r' && (i+1 >= len(data) || data[i+1] != '\n'), r == 0x85, r == 0x2028, r == 0x2029:
			lines = append(lines, line)
		}
	}
	return lines
}

// lineOf is the line that people see for a line of the parser.
func (f *File) lineOf(line int) int {
	if line < 0 || line >= len(f.lines) {
		return line
	}
	return f.lines[line]
}
