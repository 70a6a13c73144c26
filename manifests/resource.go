package manifests

import "strings"

// resource is one object of a file: a document with apiVersion and kind, or an
// item of a List.
type resource struct {
	file           *File
	index          int // in its file
	root, meta     *node
	group, version string
	Kind           string
	Namespace      string
	Name           string
	GenerateName   string
	kindAt         Pos
	kind           *kindInfo // nil for kinds that nobody judges
	own            any       // see decodeOwn
}

// title is "Kind namespace/name", cleaned for messages.
func (r *resource) title() string {
	name := r.Name
	if name == "" {
		name = r.GenerateName
		if name != "" {
			name += "*"
		}
	}
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	return clean(strings.TrimSpace(clean(r.Kind, 60)+" "+name), 160)
}

// addDocument extracts the resources of a document. Documents without apiVersion
// and kind aren't manifests and are left alone; Lists are opened.
func (f *File) addDocument(n *node, depth int) {
	if n == nil || n.kind != mappingNode {
		return
	}
	kind, api := n.field("kind"), n.at("apiVersion").text()
	if kind == nil || kind.value.text() == "" || api == "" {
		return
	}
	if items := n.field("items"); items != nil && strings.HasSuffix(kind.value.value, "List") && items.value.kind == sequenceNode {
		for _, item := range items.value.items {
			f.addDocument(item, depth+1)
		}
		return
	}
	group, version, found := strings.Cut(api, "/")
	if !found {
		group, version = "", api
	}
	meta := n.at("metadata")
	if meta == nil || meta.kind != mappingNode {
		meta = nil
	}
	r := &resource{file: f, index: len(f.resources), root: n, meta: meta, group: group, version: version,
		Kind: kind.value.value, Namespace: meta.at("namespace").text(), Name: meta.at("name").text(),
		GenerateName: meta.at("generateName").text(), kindAt: kind.pos()}
	r.kind = kindsByName[kindName{group, r.Kind}]
	if group == Group {
		before := len(f.findings)
		r.own = decodeOwn(f, r)
		for i := before; i < len(f.findings); i++ {
			f.findings[i].r = r
		}
		f.special = true
	} else if strings.HasPrefix(group, Group+".") || strings.HasSuffix(group, "."+Group) {
		r.kind = nil
	}
	if r.kind != nil && r.kind.autoscaler {
		f.special = true
	}
	f.resources = append(f.resources, r)
}

type kindName struct{ group, kind string }

// kindInfo says how a kind that people already have is judged.
type kindInfo struct {
	workload   bool // must carry a tenant
	autoscaler bool
	// templates are the paths of the objects that the workload creates, whose
	// metadata must carry the tag.
	templates [][]string
	argoSpec  []string // the path of an Argo WorkflowSpec
	// pod is the path of its pod's spec, for kinds that have a single one.
	pod []string
}

var kindsByName = func() map[kindName]*kindInfo {
	template := []string{"spec", "template"}
	set := &kindInfo{workload: true, templates: [][]string{template}, pod: []string{"spec", "template", "spec"}}
	m := map[kindName]*kindInfo{
		{"", "Pod"}:                   {workload: true, pod: []string{"spec"}},
		{"", "ReplicationController"}: set,
		{"batch", "Job"}:              set,
		{"batch", "CronJob"}: {workload: true, templates: [][]string{{"spec", "jobTemplate"}, {"spec", "jobTemplate", "spec", "template"}},
			pod: []string{"spec", "jobTemplate", "spec", "template", "spec"}},
		{"", "PersistentVolumeClaim"}:              {},
		{"", "Service"}:                            {},
		{"autoscaling", "HorizontalPodAutoscaler"}: {autoscaler: true},
		{"serving.knative.dev", "Service"}:         set,
		{"argoproj.io", "Workflow"}:                {workload: true, argoSpec: []string{"spec"}},
		{"argoproj.io", "WorkflowTemplate"}:        {workload: true, argoSpec: []string{"spec"}},
		{"argoproj.io", "ClusterWorkflowTemplate"}: {workload: true, argoSpec: []string{"spec"}},
		{"argoproj.io", "CronWorkflow"}:            {workload: true, argoSpec: []string{"spec", "workflowSpec"}},
		{Group, "Workflow"}:                        {workload: true},
	}
	for _, k := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"} {
		m[kindName{"apps", k}], m[kindName{"extensions", k}] = set, set
	}
	for _, k := range []string{"Task", "ClusterTask", "Pipeline", "TaskRun", "PipelineRun"} {
		m[kindName{"tekton.dev", k}] = &kindInfo{workload: true}
	}
	return m
}()
