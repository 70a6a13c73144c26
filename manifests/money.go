package manifests

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// Money is an exact amount in one currency (ISO 4217). The zero Money is zero in
// no currency and can be added to any.
type Money struct {
	Amount   decimal.Decimal
	Currency string
}

// Add returns m+o. Adding two different currencies is a bug of the caller, which
// must refuse mixed currencies where they are read; it panics.
func (m Money) Add(o Money) Money {
	return Money{m.Amount.Add(o.Amount), m.same(o)}
}

// Sub returns m-o; see Add on currencies.
func (m Money) Sub(o Money) Money {
	return Money{m.Amount.Sub(o.Amount), m.same(o)}
}

func (m Money) same(o Money) string {
	switch {
	case m.Currency == "":
		return o.Currency
	case o.Currency == "" || m.Currency == o.Currency:
		return m.Currency
	}
	panic(fmt.Sprintf("money: %s and %s can't be mixed", m.Currency, o.Currency))
}

// String prints the amount rounded half to even to cents: "$1,234.50" for USD,
// "EUR 1,234.50" otherwise, with a leading minus sign when negative.
func (m Money) String() string {
	s := m.Amount.Abs().RoundBank(2).StringFixed(2)
	whole, cents, _ := strings.Cut(s, ".")
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	sign := ""
	if m.Amount.RoundBank(2).IsNegative() {
		sign = "-"
	}
	unit := "$"
	if m.Currency != "USD" {
		unit = m.Currency + " "
	}
	return sign + unit + b.String() + "." + cents
}

// Signed is String with a plus sign before positive amounts, for deltas.
func (m Money) Signed() string {
	if m.Amount.RoundBank(2).IsPositive() {
		return "+" + m.String()
	}
	return m.String()
}

type moneyJSON struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// MarshalJSON writes {"amount":"1234.5","currency":"USD"}: exact, as a string.
func (m Money) MarshalJSON() ([]byte, error) {
	return json.Marshal(moneyJSON{m.Amount.String(), m.Currency})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Money) UnmarshalJSON(b []byte) error {
	var j moneyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	d, err := decimal.NewFromString(j.Amount)
	if err != nil {
		return fmt.Errorf("money amount %q: %w", j.Amount, err)
	}
	*m = Money{d, j.Currency}
	return nil
}
