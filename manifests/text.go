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
	if len(s) > 64 {
		return ""
	}
	for _, c := range candidates {
		if len(c) > 64 || len(c) > len(s)+bestAt || len(s) > len(c)+bestAt {
			continue
		}
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance in bytes: insertions,
// deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	var before []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
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
		before, prev = prev, row
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
