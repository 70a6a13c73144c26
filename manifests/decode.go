package manifests

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Pos is a place in a file: 1-based line and column.
type Pos struct{ Line, Column int }

func (n *node) pos() Pos  { return Pos{int(n.line), int(n.col)} }
func (f *field) pos() Pos { return Pos{int(f.line), int(f.col)} }

// object is a mapping that is being decoded strictly: every key must be asked
// for by name, and what is wrong becomes a finding at its place.
type object struct {
	file     *File
	resource string // for Finding.Resource
	n        *node  // never nil; empty when it was absent or no mapping
	path     string // e.g. spec.jobs[1]
	at       Pos    // of the key that holds it
}

func (o object) note(rule string, at Pos, remedy, format string, args ...any) {
	r, _ := Explain(rule)
	if remedy == "" {
		remedy = r.Remedy
	}
	o.file.note(Finding{Rule: rule, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...), Remedy: remedy, Resource: o.resource})
}

func (o object) join(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

// only reports keys other than the named ones.
func (o object) only(keys ...string) {
	for i := range o.n.fields {
		f := &o.n.fields[i]
		known := false
		for _, k := range keys {
			known = known || k == f.key
		}
		if known {
			continue
		}
		remedy := "correct or remove the field; known here: " + strings.Join(keys, ", ")
		o.note("schema/unknown-field", f.pos(), remedy, "%s doesn't exist%s", clean(o.join(f.key), 120), didYouMean(f.key, keys))
	}
}

// object decodes a nested mapping; absent and null give an empty one.
func (o object) object(key string) object {
	f := o.n.field(key)
	child := object{o.file, o.resource, &node{kind: mappingNode}, o.join(key), o.at}
	if f == nil {
		return child
	}
	child.at = f.pos()
	switch {
	case f.value.null():
	case f.value.kind != mappingNode:
		o.invalid(f, "a mapping")
	default:
		child.n = f.value
	}
	return child
}

// items decodes a list of mappings; what isn't one is reported and left out.
func (o object) items(key string) []object {
	var out []object
	for i, n := range o.sequence(key) {
		path := fmt.Sprintf("%s[%d]", o.join(key), i)
		if n.kind != mappingNode {
			o.note("schema/invalid-value", n.pos(), "", "%s must be a mapping", path)
			continue
		}
		out = append(out, object{o.file, o.resource, n, path, n.pos()})
	}
	return out
}

func (o object) sequence(key string) []*node {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return nil
	}
	if f.value.kind != sequenceNode {
		o.invalid(f, "a list")
	}
	return f.value.items
}

func (o object) invalid(f *field, want string) {
	got := ""
	if f.value.kind == scalarNode {
		got = fmt.Sprintf(", not %q", clean(f.value.value, 60))
	}
	o.note("schema/invalid-value", f.value.pos(), "", "%s must be %s%s", clean(o.join(f.key), 120), want, got)
}

func (o object) require(key string) *field {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		at := o.at
		if f != nil {
			at = f.pos()
		}
		o.note("schema/missing-field", at, "add "+o.join(key), "%s is missing", o.join(key))
		return nil
	}
	return f
}

// str decodes a scalar as text, whatever its YAML type: 12 and "12" are the same
// to a reader of our kinds.
func (o object) str(key string) string {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return ""
	}
	if f.value.kind != scalarNode {
		o.invalid(f, "text")
		return ""
	}
	return f.value.value
}

func (o object) requiredStr(key string) string {
	if o.require(key) == nil {
		return ""
	}
	return o.str(key)
}

// strs decodes a list of scalars.
func (o object) strs(key string) []string {
	var out []string
	for i, n := range o.sequence(key) {
		if n.kind != scalarNode || n.null() {
			o.note("schema/invalid-value", n.pos(), "", "%s[%d] must be text", o.join(key), i)
			continue
		}
		out = append(out, n.value)
	}
	return out
}

// matching decodes text that must match a pattern described by want.
func (o object) matching(key string, re *regexp.Regexp, want string) string {
	s := o.str(key)
	if f := o.n.field(key); f != nil && f.value.kind == scalarNode && !f.value.null() && !re.MatchString(s) {
		o.invalid(f, want)
		return ""
	}
	return s
}

func (o object) oneOf(key string, values ...string) string {
	s := o.str(key)
	if s == "" {
		return ""
	}
	for _, v := range values {
		if s == v {
			return s
		}
	}
	f := o.n.field(key)
	o.note("schema/invalid-value", f.value.pos(), "use one of "+strings.Join(values, ", "),
		"%s can't be %q%s", o.join(key), clean(s, 60), didYouMean(s, values))
	return ""
}

// amount decodes a decimal that is not negative.
func (o object) amount(key string) decimal.Decimal {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return decimal.Zero
	}
	d, err := parseDecimal(f.value.text())
	if err != nil || d.IsNegative() || f.value.kind != scalarNode {
		o.invalid(f, "an amount such as \"12000.00\"")
		return decimal.Zero
	}
	return d
}

// count decodes a whole number from low to high; nil when absent or wrong.
func (o object) count(key string, low, high int64) *int64 {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return nil
	}
	i, err := strconv.ParseInt(f.value.text(), 10, 64)
	if err != nil || i < low || i > high || f.value.kind != scalarNode {
		o.invalid(f, fmt.Sprintf("a whole number from %d to %d", low, high))
		return nil
	}
	return &i
}

func (o object) boolean(key string) bool {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return false
	}
	if f.value.tag != "!!bool" {
		o.invalid(f, "true or false")
	}
	return f.value.tag == "!!bool" && strings.EqualFold(f.value.value, "true")
}

var decimalText = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$`)

// parseDecimal reads a decimal number. Its length and exponent are bounded
// before it is parsed: 1e1000000 would be a million digits.
func parseDecimal(s string) (decimal.Decimal, error) {
	if !decimalText.MatchString(s) {
		return decimal.Zero, fmt.Errorf("%q isn't a decimal number", clean(s, 60))
	}
	return decimal.NewFromString(s)
}
