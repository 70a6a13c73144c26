package manifests

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tag is the tenant label of one metadata mapping.
type tag struct {
	state  tagState
	tenant TenantID
	at     Pos    // of the label, else of labels, else of metadata
	why    string // what is wrong with it when invalid
}

type tagState uint8

const (
	tagMissing tagState = iota
	tagValid
	tagInvalid
	tagTemplate // holds a template action
)

// readTag reads the tenant of the metadata below holder. at is where holder's own
// key stands, for the place of what is missing.
func (j *judge) readTag(holder *node, at Pos) tag {
	meta := holder.field("metadata")
	if meta == nil {
		return tag{at: at}
	}
	return j.readMeta(meta)
}

func (j *judge) readMeta(meta *field) tag {
	labels := meta.value.field("labels")
	if labels == nil {
		return tag{at: meta.pos()}
	}
	for _, key := range j.policy.TenantLabels {
		if f := labels.value.field(key); f != nil {
			return labelTag(f)
		}
	}
	return tag{at: labels.pos()}
}

// yaml11Booleans are strings to YAML 1.2 and booleans to the YAML 1.1 readers of
// kubectl and the API server.
var yaml11Booleans = []string{"y", "n", "yes", "no", "on", "off"}

func labelTag(f *field) tag {
	t := tag{state: tagInvalid, at: f.pos()}
	v := f.value
	switch {
	case v.kind == mappingNode && len(v.fields) == 1 && v.fields[0].key == complexKey:
		t.state, t.why = tagTemplate, "is a template, not a name"
	case v.kind != scalarNode:
		t.why = "is not text"
	case strings.Contains(v.value, "{{"):
		t.state, t.why = tagTemplate, "is a template, so that the tenant isn't known before it runs"
	case v.tag == "!!null" || v.value == "":
		t.why = "is empty"
	case v.tag != "!!str" && v.tag != "!!timestamp":
		names := map[string]string{"!!int": "number", "!!float": "number", "!!bool": "boolean"}
		t.why = fmt.Sprintf("is the %s %s, not a string", orElse(names[v.tag], "value"), clean(v.value, 60))
	case v.plain && slices.Contains(yaml11Booleans, strings.ToLower(v.value)):
		t.why = fmt.Sprintf("is %s, which Kubernetes reads as a boolean", v.value)
	case !labelValue.MatchString(v.value):
		t.why = fmt.Sprintf("%q is not a valid label value", clean(v.value, 80))
	case v.value == string(Untagged):
		t.why = fmt.Sprintf("%q is reserved", Untagged)
	default:
		t.state, t.tenant = tagValid, TenantID(v.value)
	}
	return t
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// tenantOf is the tenant that a resource's changes and costs belong to.
func (j *judge) tenantOf(r *resource) TenantID {
	switch own := r.own.(type) {
	case *Tenant:
		return own.ID
	case *Budget:
		if own.Tenant != "" {
			return own.Tenant
		}
		return Untagged
	}
	if t := j.readTag(r.root, r.kindAt); t.state == tagValid {
		return t.tenant
	}
	if r.kind == nil || !r.kind.workload {
		if t := j.owner(r.Namespace, r.file.path); t != "" {
			return t
		}
	}
	return Untagged
}

// checkTenant applies the tenant rules to one workload.
func (e *evaluation) checkTenant(j *judge, r *resource) {
	if r.kind == nil || !r.kind.workload {
		return
	}
	label := j.policy.TenantLabels[0]
	t := j.readTag(r.root, r.kindAt)
	f := Finding{Line: t.at.Line, Column: t.at.Column, Resource: r.title(), Tenant: Untagged}
	switch t.state {
	case tagMissing:
		ok, remedy := j.untagged(r.Kind, r.Namespace, r.Name, r.file.path)
		if ok {
			return
		}
		f.Rule, f.Remedy = "tenant/missing", remedy
		f.Message = fmt.Sprintf("%s has no tenant: the label %s is missing", f.Resource, label)
		e.add(j, r.file, f)
		return
	case tagInvalid, tagTemplate:
		if t.state == tagTemplate && e.chart {
			e.unrendered = true
			return
		}
		f.Rule, f.Message = "tenant/invalid", fmt.Sprintf("the tenant of %s %s", f.Resource, t.why)
		f.Remedy = "write the Tenant's name as a string; quote it if it looks like a number, a boolean or null"
		e.add(j, r.file, f)
		return
	}
	f.Tenant = t.tenant
	if len(j.tenants) == 0 {
		if e.tagged == nil {
			e.tagged = &f
		}
	} else if j.tenants[t.tenant] == nil {
		u := f
		u.Rule = "tenant/unknown"
		u.Message = fmt.Sprintf("%s names the tenant %q, which no Tenant declares%s", f.Resource, t.tenant, didYouMean(string(t.tenant), j.names))
		u.Remedy = "use a declared tenant, or add the Tenant first: it counts once it is on the base branch"
		e.add(j, r.file, u)
	}
	e.used = append(e.used, use{t.tenant, f})
	e.checkPropagation(j, r, t.tenant)
	if w, ok := r.own.(*Workflow); ok {
		e.checkJobs(j, r, w, t.tenant)
	}
}

// untagged tells whether a workload may run without a tenant; if not, what to do.
func (j *judge) untagged(kind, namespace, name, path string) (ok bool, remedy string) {
	entry, listed := j.allowed[allowKey{kind, namespace, name}]
	label := j.policy.TenantLabels[0]
	switch {
	case listed && name != "" && j.now.Before(entry.Expires):
		return true, ""
	case listed:
		return false, fmt.Sprintf("add the label %s, or have its SystemAllowlist entry renewed, which expired at the end of %s",
			label, entry.Expires.AddDate(0, 0, -1).Format(time.DateOnly))
	}
	if t := j.owner(namespace, path); t != "" {
		return false, fmt.Sprintf("add the label %s: %s", label, t)
	}
	return false, fmt.Sprintf("add the label %s with the name of its tenant; a system job must be named in a SystemAllowlist on the base branch", label)
}

// place is where the tag must be found again below a workload.
type place struct {
	what string // "the pod template"
	tag  tag
	// optional places may lack the tag, but not contradict it.
	optional bool
}

func (e *evaluation) checkPropagation(j *judge, r *resource, tenant TenantID) {
	for _, p := range j.places(r) {
		f := Finding{Line: p.tag.at.Line, Column: p.tag.at.Column, Resource: r.title(), Tenant: tenant}
		switch {
		case p.tag.state == tagMissing && !p.optional:
			f.Rule = "tenant/not-propagated"
			f.Message = fmt.Sprintf("the tenant %q of %s doesn't reach %s", tenant, f.Resource, p.what)
			f.Remedy = fmt.Sprintf("add the label %s: %s to the metadata of %s", j.policy.TenantLabels[0], tenant, p.what)
		case p.tag.state == tagInvalid || p.tag.state == tagTemplate && !e.chart:
			f.Rule = "tenant/mismatch"
			f.Message = fmt.Sprintf("%s is of tenant %q, but the tag of %s %s", f.Resource, tenant, p.what, p.tag.why)
			f.Remedy = fmt.Sprintf("write %s: %s there as well", j.policy.TenantLabels[0], tenant)
		case p.tag.state == tagValid && p.tag.tenant != tenant:
			f.Rule = "tenant/mismatch"
			f.Message = fmt.Sprintf("%s is of tenant %q, but %s says %q", f.Resource, tenant, p.what, p.tag.tenant)
			f.Remedy = "use one tenant in both places"
		default:
			continue
		}
		e.add(j, r.file, f)
	}
}

// places lists where a workload's tag must be found again.
func (j *judge) places(r *resource) []place {
	var out []place
	for _, path := range r.kind.templates {
		holder := r.root.at(path[:len(path)-1]...).field(path[len(path)-1])
		if holder == nil || holder.value.kind != mappingNode {
			continue
		}
		what := "the pod template"
		if path[len(path)-1] == "jobTemplate" {
			what = "the job template"
		}
		out = append(out, place{what: what, tag: j.readTag(holder.value, holder.pos())})
	}
	if r.kind.argoSpec != nil {
		out = append(out, j.argoPlaces(r)...)
	}
	if r.group == "tekton.dev" {
		out = append(out, j.tektonPlaces(r)...)
	}
	return out
}

// argoPlaces follows how Argo labels what it makes: pods by podMetadata, by
// templateDefaults or by their template's metadata; the Workflows of a CronWorkflow by
// workflowMetadata. The labels of a Workflow itself don't reach its pods.
func (j *judge) argoPlaces(r *resource) []place {
	spec := r.root.at(r.kind.argoSpec...)
	if spec == nil || spec.kind != mappingNode {
		return nil
	}
	specAt := r.root.at(r.kind.argoSpec[:len(r.kind.argoSpec)-1]...).field(r.kind.argoSpec[len(r.kind.argoSpec)-1]).pos()
	var out []place
	if f := r.root.at("spec").field("workflowMetadata"); f != nil {
		out = append(out, place{"the Workflows that it makes (spec.workflowMetadata)", j.readMeta(f), r.Kind != "CronWorkflow"})
	} else if r.Kind == "CronWorkflow" {
		out = append(out, place{what: "the Workflows that it makes (spec.workflowMetadata)", tag: tag{at: r.root.field("spec").pos()}})
	}
	labelled := false
	if f := spec.field("podMetadata"); f != nil {
		p := place{"its pods (podMetadata)", j.readMeta(f), true}
		labelled = p.tag.state != tagMissing
		out = append(out, p)
	}
	if f := spec.at("templateDefaults").field("metadata"); f != nil {
		p := place{"its pods (templateDefaults)", j.readMeta(f), true}
		labelled = labelled || p.tag.state != tagMissing
		out = append(out, p)
	}
	var templates []place
	tagged := false
	walkArgoTemplates(spec, func(t *node) {
		if !makesPod(t) {
			return
		}
		at := t.pos()
		what := "the pods of a template"
		if name := t.field("name"); name != nil {
			at, what = name.pos(), fmt.Sprintf("the pods of the template %q", clean(name.value.text(), 80))
		}
		p := place{what, j.readTag(t, at), labelled}
		tagged = tagged || p.tag.state != tagMissing
		templates = append(templates, p)
	})
	if !labelled && !tagged && len(templates) > 0 {
		return append(out, place{what: "its pods (podMetadata)", tag: tag{at: specAt}})
	}
	return append(out, templates...)
}

// walkArgoTemplates visits the templates of a WorkflowSpec, inline ones too.
func walkArgoTemplates(spec *node, visit func(*node)) {
	var walk func(t *node)
	walk = func(t *node) {
		visit(t)
		for _, task := range t.at("dag", "tasks").list() {
			if in := task.at("inline"); in != nil {
				walk(in)
			}
		}
		for _, group := range t.at("steps").list() {
			for _, step := range group.list() {
				if in := step.at("inline"); in != nil {
					walk(in)
				}
			}
		}
	}
	for _, t := range spec.at("templates").list() {
		walk(t)
	}
}

func makesPod(t *node) bool {
	for _, k := range []string{"container", "script", "containerSet", "resource", "data"} {
		if !t.at(k).null() {
			return true
		}
	}
	return false
}

// tektonPlaces are the places that override what Tekton passes on by itself:
// labels of a run or a task reach its pods without being repeated.
func (j *judge) tektonPlaces(r *resource) []place {
	var out []place
	add := func(n *node, what string) {
		if f := n.field("metadata"); f != nil {
			out = append(out, place{what, j.readMeta(f), true})
		}
	}
	spec := r.root.at("spec")
	for _, tasks := range [][]string{{"tasks"}, {"finally"}, {"pipelineSpec", "tasks"}, {"pipelineSpec", "finally"}} {
		for _, t := range spec.at(tasks...).list() {
			add(t.at("taskSpec"), fmt.Sprintf("the task %q", clean(t.at("name").text(), 80)))
		}
	}
	for _, t := range spec.at("taskRunSpecs").list() {
		add(t, fmt.Sprintf("the task %q", clean(t.at("pipelineTaskName").text(), 80)))
	}
	return out
}
