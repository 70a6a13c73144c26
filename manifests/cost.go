package manifests

// CostReport prices the workloads of a snapshot and, for a pull request, the
// difference to its base. Amounts are monthly, in the steady state of 730 hours.
type CostReport struct {
	Currency     string            `json:"currency"`
	Rates        string            `json:"rates"` // "RateCard default" or "built-in list prices"
	Environments []EnvironmentCost `json:"environments"`
	Unpriced     []Unpriced        `json:"unpriced,omitempty"`
	Assumptions  []string          `json:"assumptions,omitempty"`
}

// EnvironmentCost is one row of the cost table.
type EnvironmentCost struct {
	Environment Environment `json:"environment"` // "" prints as "unassigned"
	Base        Money       `json:"base"`        // zero without a base
	Head        Money       `json:"head"`
	Delta       Money       `json:"delta"` // head - base; zero without a base
	// LowerBound is true when a workload of the environment is unpriced.
	LowerBound bool `json:"lower_bound,omitempty"`
	// Budget is nil where no Budget names the environment.
	Budget   *Money       `json:"budget,omitempty"`
	Headroom *Money       `json:"headroom,omitempty"` // budget - head; negative when over
	Check    Conclusion   `json:"check"`
	Tenants  []TenantCost `json:"tenants"` // sorted by tenant
}

// TenantCost is a tenant's share of an environment.
type TenantCost struct {
	Tenant TenantID `json:"tenant"`
	Base   Money    `json:"base"`
	Head   Money    `json:"head"`
	Delta  Money    `json:"delta"`
}

// Unpriced is a workload whose cost is unknown, with the reason.
type Unpriced struct {
	Resource    string      `json:"resource"`
	File        string      `json:"file"`
	Line        int         `json:"line"`
	Environment Environment `json:"environment,omitempty"`
	Tenant      TenantID    `json:"tenant,omitempty"`
	Reason      string      `json:"reason"`
	// New is true when the base didn't have it: shown first in comments.
	New bool `json:"new,omitempty"`
}
