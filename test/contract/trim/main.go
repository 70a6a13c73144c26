// Command trim cuts GitHub's OpenAPI description down to the operations that
// test/hub serves, without prose, and puts back the one rule on check runs that the
// published file leaves out.
//
// It reads generated/api.github.com.json of the npm package @octokit/openapi (MIT
// licence, copyright Octokit contributors) and writes JSON to the standard output:
//
//	npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
//	go run ./test/contract/trim package/generated/api.github.com.json > test/contract/testdata/github-openapi.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/conductor-dev/conductor/test/hub"
)

type object = map[string]any

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: trim api.github.com.json > github-openapi.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "trim:", err)
		os.Exit(1)
	}
}

func run(path string, w io.Writer) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc object
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	out, err := trim(doc)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

func trim(doc object) (object, error) {
	paths, _ := doc["paths"].(object)
	kept := object{}
	for op, github := range hub.Operations() {
		if !github {
			continue
		}
		method, path, _ := strings.Cut(op, " ")
		item, _ := paths[path].(object)
		o, ok := item[strings.ToLower(method)].(object)
		if !ok {
			return nil, fmt.Errorf("GitHub's description has no %s", op)
		}
		to, _ := kept[path].(object)
		if to == nil {
			to = object{}
			kept[path] = to
		}
		to[strings.ToLower(method)] = strip(o, false)
	}
	if err := restoreConclusionRule(kept); err != nil {
		return nil, err
	}
	components := object{}
	if err := gather(doc, kept, components); err != nil {
		return nil, err
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "GitHub's REST API, the operations that the hub serves", "version": "23.0.2",
			"license":  object{"name": "MIT"},
			"x-source": "generated/api.github.com.json of npm @octokit/openapi 23.0.2, copyright Octokit contributors, MIT licence; trimmed by test/contract/trim"},
		"paths": kept, "components": components,
	}, nil
}

// prose are the keys that validation doesn't need.
var prose = map[string]bool{"description": true, "summary": true, "title": true, "example": true, "examples": true, "externalDocs": true,
	"tags": true, "security": true, "x-github": true, "x-github-breaking-changes": true, "x-multi-segment": true, "deprecated": true}

// strip copies v without prose; names says that v's keys are names and not keywords.
func strip(v any, names bool) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, e := range v {
			if !names && (prose[k] || strings.HasPrefix(k, "x-")) {
				continue
			}
			out[k] = strip(e, !names && (k == "properties" || k == "responses" || k == "content" || k == "headers"))
		}
		if !names && out["content"] != nil || v["description"] != nil && len(v) == 1 {
			out["description"] = "" // a response must have one
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = strip(v[i], false)
		}
		return out
	}
	return v
}

// gather copies the components that v refers to, and those that they refer to.
func gather(doc object, v any, components object) error {
	switch v := v.(type) {
	case object:
		if ref, ok := v["$ref"].(string); ok {
			return follow(doc, ref, components)
		}
		for _, e := range v {
			if err := gather(doc, e, components); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := gather(doc, e, components); err != nil {
				return err
			}
		}
	}
	return nil
}

func follow(doc object, ref string, components object) error {
	parts := strings.Split(ref, "/") // #/components/schemas/name
	if len(parts) != 4 || parts[1] != "components" {
		return fmt.Errorf("unexpected reference %s", ref)
	}
	kind, _ := components[parts[2]].(object)
	if kind == nil {
		kind = object{}
		components[parts[2]] = kind
	}
	if kind[parts[3]] != nil {
		return nil
	}
	all, _ := doc["components"].(object)
	from, _ := all[parts[2]].(object)
	if from[parts[3]] == nil {
		return fmt.Errorf("nothing at %s", ref)
	}
	kind[parts[3]] = strip(from[parts[3]], false)
	return gather(doc, kind[parts[3]], components)
}

// restoreConclusionRule says again that a check run which is created completed needs
// a conclusion. GitHub enforces and documents it, but its published file has lost it;
// the rule on updates is there.
func restoreConclusionRule(paths object) error {
	s, ok := dig(paths, "/repos/{owner}/{repo}/check-runs", "post", "requestBody", "content", "application/json", "schema")
	if !ok {
		return errors.New("no request schema of check-runs")
	}
	s["oneOf"] = []any{
		object{"required": []any{"status", "conclusion"}, "properties": object{"status": object{"enum": []any{"completed"}}}},
		object{"properties": object{"status": object{"enum": []any{"queued", "in_progress"}}}},
	}
	return nil
}

func dig(v object, keys ...string) (object, bool) {
	for _, k := range keys {
		next, ok := v[k].(object)
		if !ok {
			return nil, false
		}
		v = next
	}
	return v, true
}
