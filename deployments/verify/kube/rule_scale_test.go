package kube

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"

	"sluice/shared/completion"
	"sluice/worker"
)

type scaled struct {
	ScaleTargetRef  struct{ Name string }
	MinReplicaCount *int
	MaxReplicaCount int
	CooldownPeriod  *int
	Fallback        *struct{ Replicas int }
	Advanced        advanced
	Triggers        []trigger
}

type advanced struct {
	ScalingModifiers              struct{ Formula, Target, MetricType string }
	HorizontalPodAutoscalerConfig struct {
		Behavior struct {
			ScaleDown struct{ StabilizationWindowSeconds *int }
		}
	}
}

type trigger struct {
	Type, Name string
	Metadata   struct{ URL, Format, ValueLocation string }
}

// location is what KEDA's metrics-api scaler takes for a place in a page of Prometheus' format, as far as we need it.
var location = regexp.MustCompile(`^(\w+)\{lane="(\w+)"\}$`)

// metrics are those that the api has of each lane.
var metrics = map[string]bool{"sluice_queue_depth": true, "sluice_queue_running": true, "sluice_queue_retrying": true}

// slots returns how many jobs of the lane a worker runs at once.
func slots(w *worker.Program, lane completion.Lane) int {
	if lane == completion.LaneBatch {
		return w.Worker.BatchSlots
	}
	return w.Worker.InteractiveSlots
}

// scalingFits: each lane is scaled by itself, by what its jobs need, and not faster than its workers drain.
func scalingFits(o *overlay) (faults []string) {
	lanes := map[completion.Lane]int{}
	for _, w := range o.workloads() {
		if p, _, ok := o.run(w); ok && p.command == "worker" {
			for _, lane := range completion.Lanes {
				if slots(p.settings.(*worker.Program), lane) > 0 {
					lanes[lane]++
				}
			}
		}
	}
	for _, lane := range completion.Lanes {
		if lanes[lane] != 1 {
			faults = append(faults, fmt.Sprintf("%d Deployments serve lane %s", lanes[lane], lane))
		}
	}
	for _, x := range o.of("ScaledObject") {
		for _, fault := range scales(o, x, decode[scaled](x)) {
			faults = append(faults, x.String()+": "+fault)
		}
	}
	return faults
}

func scales(o *overlay, x object, s scaled) (faults []string) {
	target, ok := o.find("Deployment", x.Metadata.Namespace, s.ScaleTargetRef.Name)
	if !ok {
		return []string{"scales nothing"}
	}
	w := workload{target, decode[workloadSpec](target)}
	p, _, _ := o.run(w)
	settings, ok := p.settings.(*worker.Program)
	if !ok {
		return []string{"scales no worker"}
	}
	refuse := func(when bool, text string, args ...any) {
		if when {
			faults = append(faults, fmt.Sprintf(text, args...))
		}
	}
	drain := settings.Worker.DrainLimit
	refuse(w.spec.Replicas != nil, "%s sets its replicas too", w)
	refuse(s.MinReplicaCount == nil || *s.MinReplicaCount > s.MaxReplicaCount, "has no least")
	refuse(s.Fallback == nil || s.Fallback.Replicas == 0, "stops busy workers when the api does not answer")
	window := s.Advanced.HorizontalPodAutoscalerConfig.Behavior.ScaleDown.StabilizationWindowSeconds
	refuse(window == nil || time.Duration(*window)*time.Second <= drain, "takes workers away within a drain, %s", drain)
	if s.MinReplicaCount != nil && *s.MinReplicaCount == 0 {
		refuse(s.CooldownPeriod == nil || time.Duration(*s.CooldownPeriod)*time.Second <= max(drain, settings.Worker.RetryMax), "takes the last worker away too soon")
	}
	read := map[string]float64{}
	for _, t := range s.Triggers {
		faults = append(faults, asks(o, x, t, settings)...)
		read[t.Name] = 0
	}
	jobs, err := strconv.Atoi(s.Advanced.ScalingModifiers.Target)
	lane := completion.Lane(x.Metadata.Labels["app.kubernetes.io/component"])
	refuse(err != nil || jobs < 1 || jobs > slots(settings, lane), "wants %s jobs for each worker, which has %d slots", s.Advanced.ScalingModifiers.Target, slots(settings, lane))
	refuse(s.Advanced.ScalingModifiers.MetricType != "AverageValue", "does not divide by the workers")
	_, err = evaluate(s, read)
	refuse(err != nil, "formula: %v", err)
	return faults
}

// asks returns what is wrong with where a trigger looks.
func asks(o *overlay, x object, t trigger, settings *worker.Program) (faults []string) {
	found := location.FindStringSubmatch(t.Metadata.ValueLocation)
	if t.Type != "metrics-api" || t.Metadata.Format != "prometheus" || found == nil || !metrics[found[1]] {
		return []string{"asks for " + t.Metadata.ValueLocation}
	}
	if slots(settings, completion.Lane(found[2])) == 0 {
		faults = append(faults, "asks for lane "+found[2]+", which its workers do not serve")
	}
	host, number, err := hostPort(t.Metadata.URL)
	if err != nil || !strings.HasSuffix(t.Metadata.URL, "/metrics") || !strings.Contains(host, ".") {
		return append(faults, "asks at "+t.Metadata.URL)
	}
	pods, port := o.service(x.Metadata.Namespace, host, number)
	for _, w := range pods {
		if p, _, _ := o.run(w); p.command == "api" && listening(p.env["SLUICE_PRIVATE_ADDR"]) == port {
			return faults
		}
	}
	return append(faults, "asks at "+t.Metadata.URL+", which is not the api's private port")
}

// evaluate is KEDA's: what the formula makes of the triggers' values.
func evaluate(s scaled, read map[string]float64) (float64, error) {
	values := map[string]any{}
	for name, value := range read {
		values[name] = value
	}
	compiled, err := expr.Compile(s.Advanced.ScalingModifiers.Formula, expr.Env(values))
	if err != nil {
		return 0, err
	}
	got, err := expr.Run(compiled, values)
	if err != nil {
		return 0, err
	}
	number, ok := got.(float64)
	if !ok {
		return 0, fmt.Errorf("it makes a %T", got)
	}
	return number, nil
}

// tolerance is by how much a metric may be off before the autoscaler of Kubernetes does anything, unless it is told otherwise.
const tolerance = 0.1

// replicas is what KEDA and the autoscaler make of n workers, once they have looked and all their pauses are over.
func (s scaled) replicas(n int, value float64) int {
	if n == 0 || value == 0 {
		if value > 0 {
			return max(1, *s.MinReplicaCount)
		}
		return *s.MinReplicaCount
	}
	target, err := strconv.ParseFloat(s.Advanced.ScalingModifiers.Target, 64)
	must(err)
	if math.Abs(value/target/float64(n)-1) <= tolerance {
		return n
	}
	return min(max(int(math.Ceil(value/target)), 1, *s.MinReplicaCount), s.MaxReplicaCount)
}

// scalers are the overlay's, by lane.
func scalers(o *overlay) map[completion.Lane]scaled {
	lanes := map[completion.Lane]scaled{}
	for _, x := range o.of("ScaledObject") {
		lanes[completion.Lane(x.Metadata.Labels["app.kubernetes.io/component"])] = decode[scaled](x)
	}
	return lanes
}
