package manifests

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// request is what one pod asks the scheduler for.
type request struct {
	cpu, memory, gpu decimal.Decimal // cores, bytes, devices
}

func (r request) add(o request) request {
	return request{r.cpu.Add(o.cpu), r.memory.Add(o.memory), r.gpu.Add(o.gpu)}
}

func (r request) max(o request) request {
	return request{decimal.Max(r.cpu, o.cpu), decimal.Max(r.memory, o.memory), decimal.Max(r.gpu, o.gpu)}
}

// podSum adds up a pod and notes what it had to assume and what has no price.
type podSum struct {
	rates     *RateCard
	noCPU     int // containers priced at the default request
	noMemory  int
	unpriced  []string // reasons
	podCPU    bool     // requests of the pod as a whole, which override
	podMemory bool
}

// pod is the effective request of a pod, by the rule of the Kubernetes scheduler
// (KEP-753, KEP-2837): restartable init containers run beside everything that starts
// after them; a plain init container runs alone with those; requests of the pod as
// a whole override the sum for CPU and memory; overhead is added.
func (p *podSum) pod(spec *node) request {
	level := spec.at("resources")
	p.podCPU = !level.at("requests", "cpu").null() || !level.at("limits", "cpu").null()
	p.podMemory = !level.at("requests", "memory").null() || !level.at("limits", "memory").null()
	var containers, sidecars, peak request
	var anyCPU, anyMemory bool // requested by any container
	for _, c := range spec.at("containers").list() {
		containers = containers.add(p.container(c, true))
		anyCPU, anyMemory = anyCPU || requests(c, "cpu"), anyMemory || requests(c, "memory")
	}
	for _, c := range spec.at("initContainers").list() {
		anyCPU, anyMemory = anyCPU || requests(c, "cpu"), anyMemory || requests(c, "memory")
		if c.at("restartPolicy").text() == "Always" {
			sidecars = sidecars.add(p.container(c, true))
			peak = peak.max(sidecars)
		} else {
			peak = peak.max(sidecars.add(p.container(c, false)))
		}
	}
	sum := containers.add(sidecars).max(peak)
	if p.podCPU {
		sum.cpu = p.level(level, "cpu", anyCPU, sum.cpu)
	}
	if p.podMemory {
		sum.memory = p.level(level, "memory", anyMemory, sum.memory)
	}
	overhead := spec.at("overhead")
	sum.cpu = sum.cpu.Add(p.quantity(overhead.at("cpu"), "the overhead's cpu"))
	sum.memory = sum.memory.Add(p.quantity(overhead.at("memory"), "the overhead's memory"))
	return sum
}

// level is the pod's own request; a limit alone stands for it only if no
// container requests the resource.
func (p *podSum) level(resources *node, name string, any bool, sum decimal.Decimal) decimal.Decimal {
	if r := resources.at("requests", name); !r.null() {
		return p.quantity(r, "the pod's "+name)
	}
	if any {
		return sum
	}
	return p.quantity(resources.at("limits", name), "the pod's "+name)
}

func requests(container *node, name string) bool {
	r := container.at("resources")
	return !r.at("requests", name).null() || !r.at("limits", name).null()
}

// container is a container's request; a limit alone is the request. assume puts
// the rate card's default in place of one that asks for nothing.
func (p *podSum) container(c *node, assume bool) request {
	resources := c.at("resources")
	if resources.null() {
		resources = c.at("computeResources") // Tekton v1
	}
	var r request
	name := clean(c.at("name").text(), 60)
	ask := func(key string) (decimal.Decimal, bool) {
		n := resources.at("requests", key)
		if n.null() {
			n = resources.at("limits", key)
		}
		return p.quantity(n, strings.TrimSpace(key+" of container "+name)), !n.null()
	}
	var set bool
	if r.cpu, set = ask("cpu"); !set && assume && !p.podCPU {
		r.cpu = p.rates.DefaultCPU
		p.noCPU++
	}
	if r.memory, set = ask("memory"); !set && assume && !p.podMemory {
		r.memory = p.rates.DefaultMemory
		p.noMemory++
	}
	seen := map[string]bool{}
	for _, list := range []string{"requests", "limits"} {
		for _, f := range resources.at(list).listFields() {
			if seen[f.key] {
				continue
			}
			seen[f.key] = true
			switch {
			case f.key == "cpu" || f.key == "memory" || f.key == "ephemeral-storage" || strings.HasPrefix(f.key, "attachable-volumes"):
			case strings.HasPrefix(f.key, "hugepages-"):
				n, _ := ask(f.key)
				r.memory = r.memory.Add(n)
			case strings.HasSuffix(f.key, "/gpu"):
				n, _ := ask(f.key)
				if r.gpu = r.gpu.Add(n); n.IsPositive() && p.rates.GPUHour == nil {
					p.unpriced = append(p.unpriced, "the rate card has no price for GPUs")
				}
			default:
				if n, _ := ask(f.key); n.IsPositive() {
					p.unpriced = append(p.unpriced, fmt.Sprintf("%s has no price", clean(f.key, 80)))
				}
			}
		}
	}
	return r
}

func (n *node) listFields() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// quantity reads a quantity; one that can't be read is a reason, never zero in
// silence.
func (p *podSum) quantity(n *node, what string) decimal.Decimal {
	if n.null() {
		return decimal.Zero
	}
	q, err := parseQuantity(n.text())
	if err != nil || q.IsNegative() {
		p.unpriced = append(p.unpriced, fmt.Sprintf("%s isn't a quantity", what))
		return decimal.Zero
	}
	return q
}

var bytesPerGiB = decimal.New(1<<30, 0)

// gib turns bytes into GiB, exactly: a division by a power of two ends.
func gib(bytes decimal.Decimal) decimal.Decimal {
	return bytes.Mul(perByte)
}

// perByte is 2^-30, which has 30 decimal places.
var perByte = decimal.New(1, 0).DivRound(bytesPerGiB, 30)

// hourly is the price of a request for one hour.
func (c *RateCard) hourly(r request) decimal.Decimal {
	d := r.cpu.Mul(c.CPUCoreHour).Add(gib(r.memory).Mul(c.MemoryGiBHour))
	if c.GPUHour != nil {
		d = d.Add(r.gpu.Mul(*c.GPUHour))
	}
	return d
}
