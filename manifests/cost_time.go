package manifests

import (
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the same zones on every machine that lacks its own

	"github.com/robfig/cron/v3"
	"github.com/shopspring/decimal"
)

// hoursPerMonth is the steady-state month that prices are for: 365 days / 12.
var hoursPerMonth = decimal.New(730, 0)

// zones caches the locations that were found; there are some 600 at most.
var zones sync.Map

// location finds an IANA time zone; "" is UTC. "Local" is refused: it would
// depend on the machine.
func location(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if l, ok := zones.Load(name); ok {
		return l.(*time.Location), nil
	}
	if name == "Local" || len(name) > 64 || strings.ContainsAny(name, "\\\x00") {
		return nil, fmt.Errorf("%q isn't an IANA time zone", clean(name, 40))
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q isn't an IANA time zone", clean(name, 40))
	}
	zones.Store(name, l)
	return l, nil
}

// runsPerMonth is how often a schedule fires in a month of 730 hours: its fire
// times in the calendar month of now, in its zone, scaled by the month's length.
func runsPerMonth(schedule, zone string, now time.Time) (decimal.Decimal, error) {
	s, err := parseSchedule(schedule)
	if err != nil {
		return decimal.Zero, fmt.Errorf("schedule %q isn't five cron fields", clean(schedule, 40))
	}
	loc, err := location(zone)
	if err != nil {
		return decimal.Zero, err
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return hoursPerMonth.Mul(decimal.New(int64(time.Hour), 0)).DivRound(decimal.New(int64(every.Delay), 0), 12), nil
	}
	spec := s.(*cron.SpecSchedule)
	local := now.In(loc)
	start := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, loc)
	end := start.AddDate(0, 1, 0)
	runs := firesBetween(spec, start, end)
	hours := decimal.New(int64(end.Sub(start)/time.Second), 0).DivRound(decimal.New(3600, 0), 6)
	return decimal.New(runs, 0).Mul(hoursPerMonth).DivRound(hours, 12), nil
}

// firesBetween counts the fire times from the start of a day to that of another.
// It counts the bits of the schedule's hours and minutes, so that a schedule that
// fires each minute costs as little as one that never does; only days on which
// clocks change are gone through hour by hour.
func firesBetween(s *cron.SpecSchedule, start, end time.Time) int64 {
	const star = 1 << 63
	minutes := int64(bits.OnesCount64(s.Minute &^ star))
	hours := int64(bits.OnesCount64(s.Hour &^ star))
	var n int64
	for day := start; day.Before(end); {
		next := day.AddDate(0, 0, 1)
		switch {
		case !onDay(s, day):
		case next.Sub(day) == 24*time.Hour:
			n += hours * minutes
		default:
			for t := day; t.Before(next); t = t.Add(time.Hour) {
				if s.Hour&(1<<uint(t.Hour())) != 0 {
					n += minutes
				}
			}
		}
		day = next
	}
	return n
}

// onDay reports whether a schedule fires on a day. As in cron, if both the day of
// the month and of the week are restricted, either will do.
func onDay(s *cron.SpecSchedule, t time.Time) bool {
	const star = 1 << 63
	dom := s.Dom&(1<<uint(t.Day())) != 0
	dow := s.Dow&(1<<uint(t.Weekday())) != 0
	if s.Month&(1<<uint(t.Month())) == 0 {
		return false
	}
	if s.Dom&star != 0 || s.Dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}
