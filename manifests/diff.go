package manifests

import (
	"fmt"
	"strings"
)

const (
	maxDetails    = 20  // phrases of one change
	maxDetailText = 160 // runes of one phrase
)

// differ puts the difference of two objects into words. Values are shown only
// where they can't be secrets: images, quantities, counts, schedules and
// Conductor's own kinds; of everything else the path that changed.
type differ struct {
	secret bool     // of a Secret: no values at all
	values bool     // of our own kinds: show values
	labels []string // the tenant label's keys, which the caller words
	said   []string
	more   int
}

func (d *differ) say(phrase string) {
	phrase = clean(phrase, maxDetailText)
	for _, s := range d.said {
		if s == phrase {
			return
		}
	}
	if len(d.said) >= maxDetails {
		d.more++
		return
	}
	d.said = append(d.said, phrase)
}

func (d *differ) phrases() []string {
	if d.more > 0 {
		return append(d.said, fmt.Sprintf("and %d more", d.more))
	}
	return d.said
}

// diff walks both values; path is dotted, list items by name in brackets.
func (d *differ) diff(path string, a, b *node) {
	switch {
	case a == b || a.null() && b.null():
	case a.null() || b.null() || a.kind != b.kind:
		d.leaf(path, a, b)
	case a.kind == mappingNode:
		d.mapping(path, a, b)
	case a.kind == sequenceNode:
		d.sequence(path, a, b)
	case a.value != b.value || a.tag != b.tag:
		if !sameQuantity(path, a, b) && !(d.values && a.value == b.value) {
			d.leaf(path, a, b)
		}
	}
}

func (d *differ) mapping(path string, a, b *node) {
	join := func(key string) string {
		if strings.ContainsAny(key, "./[]") {
			key = "[" + key + "]"
			return path + key
		}
		if path == "" {
			return key
		}
		return path + "." + key
	}
	inB := make(map[string]*node, len(b.fields))
	for i := range b.fields {
		inB[b.fields[i].key] = b.fields[i].value
	}
	for i := range a.fields {
		f := &a.fields[i]
		d.diff(join(f.key), f.value, inB[f.key])
		delete(inB, f.key)
	}
	for i := range b.fields {
		if v, only := inB[b.fields[i].key]; only {
			d.diff(join(b.fields[i].key), nil, v)
		}
	}
}

// sequence compares lists of named things by name, as Kubernetes merges them;
// other lists by position.
func (d *differ) sequence(path string, a, b *node) {
	oldNames, ok1 := byName(a)
	newNames, ok2 := byName(b)
	if !ok1 || !ok2 || len(a.items)+len(b.items) == 0 {
		if len(a.items) != len(b.items) {
			d.leaf(path, a, b)
			return
		}
		for i := range a.items {
			d.diff(fmt.Sprintf("%s[%d]", path, i), a.items[i], b.items[i])
		}
		return
	}
	for _, n := range a.items {
		name := n.at("name").text()
		d.diff(path+"["+name+"]", n, newNames[name])
	}
	for _, n := range b.items {
		if name := n.at("name").text(); oldNames[name] == nil {
			d.diff(path+"["+name+"]", nil, n)
		}
	}
}

func byName(n *node) (map[string]*node, bool) {
	m := make(map[string]*node, len(n.items))
	for _, e := range n.items {
		name := e.at("name").text()
		if name == "" || m[name] != nil {
			return nil, false
		}
		m[name] = e
	}
	return m, true
}

func sameQuantity(path string, a, b *node) bool {
	if !strings.Contains(path, "requests") && !strings.Contains(path, "limits") && !strings.HasPrefix(path, "spec.overhead") {
		return false
	}
	x, err1 := parseQuantity(a.value)
	y, err2 := parseQuantity(b.value)
	return err1 == nil && err2 == nil && x.Equal(y)
}

// leaf words one difference.
func (d *differ) leaf(path string, a, b *node) {
	if d.isTenantLabel(path) {
		return
	}
	last := path[strings.LastIndexByte(path, '.')+1:]
	owner, in := ownerOf(path)
	both := func(what string) { d.say(what + " " + show(a) + " -> " + show(b)) }
	scalars := (a.null() || a.kind == scalarNode) && (b.null() || b.kind == scalarNode)
	switch {
	case d.secret:
		d.say(verb(strings.TrimPrefix(path, "."), a, b))
	case in == "env" && owner != "":
		d.say(verb("env "+owner, a, b))
	case isItem(path) && owner != "":
		d.say(verb(item(in)+" "+owner, a, b))
	case !scalars && (strings.HasSuffix(path, ".requests") || strings.HasSuffix(path, ".limits") || strings.HasSuffix(path, ".resources")):
		d.nested(path, a, b)
	case !scalars && d.values:
		d.nested(path, a, b)
	case !scalars:
		d.say(verb(path, a, b))
	case d.values && path == "spec.amount":
		d.say("amount " + showAmount(a) + " -> " + showAmount(b))
	case d.values && in == "":
		both(strings.TrimPrefix(path, "spec."))
	case last == "image" && owner != "":
		both("image " + owner + ":")
	case quantityPath(path):
		what := strings.Split(path, ".")
		if last == "storage" {
			both("storage")
		} else {
			both(strings.Join(strings.Fields(what[len(what)-2]+" "+owner+" "+last), " "))
		}
	case last == "replicas" || last == "schedule" || last == "suspend" || last == "parallelism" || last == "completions" || last == "minReplicas" || last == "maxReplicas":
		if owner != "" && in == "jobs" {
			last += " of " + owner
		}
		both(last)
	case d.values:
		both(strings.TrimPrefix(path, "spec."))
	case strings.HasPrefix(path, "spec.schedules"):
		both("schedule")
	case strings.HasSuffix(path, "["+EnvironmentLabel+"]"):
		both("environment")
	default:
		d.say(verb(path, a, b))
	}
}

// nested words what is inside of a value that is only on one side.
func (d *differ) nested(path string, a, b *node) {
	one := a
	if a.null() {
		one = b
	}
	empty := &node{kind: one.kind, tag: one.tag}
	switch {
	case a.null() && len(b.fields) > 0:
		d.mapping(path, empty, b)
	case b.null() && len(a.fields) > 0:
		d.mapping(path, a, empty)
	case d.values && a != nil && b != nil && a.kind == sequenceNode && b.kind == sequenceNode:
		d.say(path[strings.LastIndexByte(path, '.')+1:] + " " + list(a) + " -> " + list(b))
	default:
		d.say(verb(path, a, b))
	}
}

func list(n *node) string {
	var out []string
	for i, e := range n.items {
		if e.kind != scalarNode || i == 8 {
			out = append(out, "…")
			break
		}
		out = append(out, clean(e.value, 40))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func verb(what string, a, b *node) string {
	switch {
	case a.null():
		return what + " added"
	case b.null():
		return what + " removed"
	}
	return what + " changed"
}

// show prints a scalar.
func show(n *node) string {
	if n.null() {
		return "none"
	}
	return clean(n.value, 60)
}

// showAmount prints a whole amount of money with separators.
func showAmount(n *node) string {
	d, err := parseDecimal(n.text())
	if err != nil || !d.IsInteger() {
		return show(n)
	}
	s := Money{Amount: d, Currency: "USD"}.String()
	return strings.Replace(strings.TrimSuffix(s, ".00"), "$", "", 1)
}

func (d *differ) isTenantLabel(path string) bool {
	for _, l := range d.labels {
		if strings.HasSuffix(path, "labels["+l+"]") || strings.HasSuffix(path, "labels."+l) {
			return true
		}
	}
	return false
}

// ownerOf is the innermost named item on a path and the list it is in: web and
// containers for spec.template.spec.containers[web].image.
func ownerOf(path string) (name, list string) {
	end := strings.LastIndexByte(path, ']')
	if end < 0 {
		return "", ""
	}
	start := strings.LastIndexByte(path[:end], '[')
	if start <= 0 {
		return "", ""
	}
	list = path[strings.LastIndexByte(path[:start], '.')+1 : start]
	if name = path[start+1 : end]; strings.Trim(name, "0123456789") == "" {
		return "", list
	}
	return name, list
}

// isItem reports whether a path ends at a named item of a list.
func isItem(path string) bool {
	switch _, list := ownerOf(path); list {
	case "containers", "initContainers", "env", "jobs", "templates", "volumes", "tasks", "steps", "ports", "environments":
		return strings.HasSuffix(path, "]")
	}
	return false
}

func item(list string) string {
	switch list {
	case "initContainers":
		return "init container"
	case "environments":
		return "environment"
	}
	return strings.TrimSuffix(list, "s")
}

func quantityPath(path string) bool {
	parts := strings.Split(path, ".")
	if len(parts) < 2 {
		return false
	}
	switch parts[len(parts)-2] {
	case "requests", "limits":
		return true
	}
	return false
}
