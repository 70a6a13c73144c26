package manifests

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text from a manifest fit for a message: control, format (bidi) and
// invalid characters are dropped, white space becomes single spaces, and it is cut to
// max runes. Escaping for HTML, Markdown or a terminal is the renderer's.
func clean(s string, max int) string {
	if plainASCII(s) && len(s) <= max {
		return s
	}
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r):
			continue
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			n, space = n+1, false
		}
		if n >= max-1 {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' && (s[i] != ' ' || i == 0 || i == len(s)-1 || s[i-1] == ' ') || s[i] > '~' {
			return false
		}
	}
	return true
}

// nearest returns the candidate that a person most likely meant by s: at most a
// third of its length wrong, "" when nothing is that near. Ties go to the first.
func nearest(s string, candidates []string) string {
	best, bestAt := "", 1+max(1, min(len(s), 24)/3)
	lower := strings.ToLower(s)
	if len(lower) > maxSuggested || len(s) > maxSuggested {
		return ""
	}
	for _, c := range candidates {
		if len(c) > maxSuggested || len(c) > len(s)+bestAt || len(s) > len(c)+bestAt {
			continue
		}
		folded := strings.ToLower(c)
		if len(folded) > maxSuggested {
			continue
		}
		if d := distance(lower, folded); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// maxSuggested bounds the length of names that are compared for a suggestion.
const maxSuggested = 64

// distance is the optimal string alignment distance in bytes: insertions,
// deletions, substitutions and swaps of neighbours. Both are at most maxSuggested
// long.
func distance(a, b string) int {
	var rows [3][maxSuggested + 1]int
	before, prev, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

// didYouMean is " (did you mean "x"?)", or nothing.
func didYouMean(s string, candidates []string) string {
	if n := nearest(s, candidates); n != "" && n != s {
		return " (did you mean \"" + clean(n, 80) + "\"?)"
	}
	return ""
}
