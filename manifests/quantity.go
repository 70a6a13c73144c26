package manifests

import (
	"fmt"
	"regexp"

	"github.com/shopspring/decimal"
	kube "k8s.io/apimachinery/pkg/api/resource"
)

// quantityText bounds digits and exponent before apimachinery parses them; a
// larger exponent would be expanded to that many digits.
var quantityText = regexp.MustCompile(`^[+-]?([0-9]{1,24}(\.[0-9]{0,24})?|\.[0-9]{1,24})(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]{1,2})?$`)

// parseQuantity reads a Kubernetes quantity exactly as the API server does:
// cores for CPU, bytes for memory and storage. It may be negative.
func parseQuantity(s string) (decimal.Decimal, error) {
	if !quantityText.MatchString(s) {
		return decimal.Zero, fmt.Errorf("%q isn't a Kubernetes quantity", clean(s, 40))
	}
	q, err := kube.ParseQuantity(s)
	if err != nil {
		return decimal.Zero, fmt.Errorf("%q isn't a Kubernetes quantity: %w", clean(s, 40), err)
	}
	d := q.AsDec()
	return decimal.NewFromBigInt(d.UnscaledBig(), -int32(d.Scale())), nil
}
