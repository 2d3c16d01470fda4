package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sluice/api"
	"sluice/worker"
)

// namesAreOwn: no two objects are the same one, and all are in the overlay's namespace.
func namesAreOwn(o *overlay) (faults []string) {
	seen := map[string]bool{}
	for _, x := range o.objects {
		if seen[x.String()] {
			faults = append(faults, x.String()+" is there twice")
		}
		seen[x.String()] = true
		if space := x.Metadata.Namespace; x.Kind != "Namespace" {
			if _, ok := o.find("Namespace", "", space); !ok {
				faults = append(faults, fmt.Sprintf("%s is in namespace %q", x, space))
			}
		}
	}
	return faults
}

// selectorsFit: each workload chooses its own pods, and those of no other.
func selectorsFit(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		if w.Kind == "Job" {
			continue
		}
		chosen := o.pods(w.Metadata.Namespace, w.spec.Selector)
		if len(chosen) != 1 || chosen[0].String() != w.String() {
			faults = append(faults, fmt.Sprintf("%s chooses the pods of %v", w, chosen))
		}
		for _, spread := range w.pod().TopologySpreadConstraints {
			if !spread.LabelSelector.takes(w.spec.Template.Metadata.Labels) {
				faults = append(faults, w.String()+" spreads other pods than its own")
			}
		}
	}
	return faults
}

type service struct {
	Selector map[string]string
	Ports    []servicePort
}

type servicePort struct {
	Name       string
	Port       int
	TargetPort any
}

// servicesFit: each Service leads to a port that pods have.
func servicesFit(o *overlay) (faults []string) {
	for _, x := range o.of("Service") {
		s := decode[service](x)
		pods := o.pods(x.Metadata.Namespace, selector{MatchLabels: s.Selector})
		if len(s.Selector) == 0 || len(pods) == 0 {
			faults = append(faults, x.String()+" leads nowhere")
		}
		for _, w := range pods {
			for _, p := range s.Ports {
				if w.port(p.TargetPort) == 0 {
					faults = append(faults, fmt.Sprintf("%s: %s has no port %v", x, w, p.TargetPort))
				}
			}
		}
	}
	return faults
}

// service finds what an address within the cluster leads to: the Service, and the port of its pods.
func (o *overlay) service(namespace, host string, number int) (pods []workload, target int) {
	name, rest, dotted := strings.Cut(host, ".")
	if dotted {
		namespace, _, _ = strings.Cut(rest, ".")
	}
	x, ok := o.find("Service", namespace, name)
	if !ok {
		return nil, 0
	}
	s := decode[service](x)
	pods = o.pods(namespace, selector{MatchLabels: s.Selector})
	for _, p := range s.Ports {
		if p.Port == number && len(pods) > 0 {
			target = pods[0].port(p.TargetPort)
		}
	}
	return pods, target
}

// serversAreThere: an address without dots is a Service of the overlay's own.
func serversAreThere(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		p, _, ok := o.run(w)
		if !ok {
			continue
		}
		for name, all := range p.addresses() {
			for _, address := range all {
				host, number, err := hostPort(address)
				_, target := o.service(w.Metadata.Namespace, host, number)
				if err != nil || !strings.Contains(host, ".") && target == 0 {
					faults = append(faults, fmt.Sprintf("%s: %s leads nowhere", w, name))
				}
			}
		}
	}
	return faults
}

// budgetsFit: each Deployment of ours has a budget, which lets a node be emptied.
func budgetsFit(o *overlay) (faults []string) {
	guarded := map[string]bool{}
	for _, x := range o.of("PodDisruptionBudget") {
		spec := decode[struct {
			Selector       selector
			MaxUnavailable any
		}](x)
		pods := o.pods(x.Metadata.Namespace, spec.Selector)
		if len(pods) != 1 {
			faults = append(faults, fmt.Sprintf("%s is about the pods of %v", x, pods))
		}
		for _, w := range pods {
			guarded[w.String()] = true
		}
		if most := fmt.Sprint(spec.MaxUnavailable); slices.Contains([]string{"0", "0%", "<nil>"}, most) {
			faults = append(faults, x.String()+" never lets a pod go")
		}
	}
	for _, w := range o.workloads() {
		if p, _, ok := o.run(w); ok && (p.command == "api" || p.command == "worker") && !guarded[w.String()] {
			faults = append(faults, w.String()+" has no disruption budget")
		}
	}
	return faults
}

type policy struct {
	PodSelector selector
	PolicyTypes []string
	Ingress     []rule
	Egress      []rule
}

type rule struct {
	From, To []struct {
		NamespaceSelector, PodSelector *selector
		IPBlock                        *struct {
			CIDR   string
			Except []string
		}
	}
	Ports []struct {
		Port     any
		Protocol string
	}
}

// policiesFit: where there are policies, all is denied first, each of them is about pods and ports that there are, and what
// our programs are told to reach can be reached.
func policiesFit(o *overlay) (faults []string) {
	all := o.of("NetworkPolicy")
	if len(all) == 0 {
		return nil
	}
	denied := false
	for _, x := range all {
		p := decode[policy](x)
		pods := o.pods(x.Metadata.Namespace, p.PodSelector)
		denied = denied || len(p.PodSelector.MatchLabels) == 0 && len(p.PolicyTypes) == 2 && len(p.Ingress)+len(p.Egress) == 0
		if len(pods) == 0 {
			faults = append(faults, x.String()+" is about no pod")
		}
		for _, r := range p.Ingress {
			if len(r.From) == 0 || len(r.Ports) == 0 {
				faults = append(faults, x.String()+" lets everybody in")
			}
			for _, port := range r.Ports {
				for _, w := range pods {
					if w.port(port.Port) == 0 {
						faults = append(faults, fmt.Sprintf("%s: %s has no port %v", x, w, port.Port))
					}
				}
			}
		}
	}
	if !denied {
		faults = append(faults, "nothing is denied first")
	}
	for _, w := range o.workloads() {
		faults = append(faults, o.cutOff(w, all)...)
	}
	return faults
}

// cutOff returns what the program of w is told to reach and cannot.
func (o *overlay) cutOff(w workload, policies []object) (faults []string) {
	p, _, ok := o.run(w)
	if !ok {
		return nil
	}
	numbers := map[int]string{53: "DNS"}
	for name, all := range p.addresses() {
		for _, address := range all {
			if _, number, err := hostPort(address); err == nil {
				numbers[number] = name
			}
		}
	}
	for number, name := range numbers {
		if !open(policies, w, number) {
			faults = append(faults, fmt.Sprintf("%s cannot reach %s on port %d", w, name, number))
		}
	}
	_, works := p.settings.(*worker.Program)
	_, serves := p.settings.(*api.Program)
	if public := open(policies, w, 443); public != (works || serves) {
		faults = append(faults, fmt.Sprintf("%s: whether it reaches public addresses is %t", w, public))
	}
	return faults
}

// open reports whether a policy lets the pods of w connect to the port.
func open(policies []object, w workload, number int) bool {
	for _, x := range policies {
		p := decode[policy](x)
		if x.Metadata.Namespace != w.Metadata.Namespace || !p.PodSelector.takes(w.spec.Template.Metadata.Labels) {
			continue
		}
		for _, r := range p.Egress {
			for _, port := range r.Ports {
				if len(r.To) > 0 && fmt.Sprint(port.Port) == fmt.Sprint(number) {
					return true
				}
			}
		}
	}
	return false
}

// privateNetworks are never reached by way of the rule for public addresses.
var privateNetworks = []string{"10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"}

// publicIsPublic: a rule for all addresses leaves out the private ones, clouds' metadata first of all.
func publicIsPublic(o *overlay) (faults []string) {
	for _, x := range o.of("NetworkPolicy") {
		for _, r := range decode[policy](x).Egress {
			for _, to := range r.To {
				if to.IPBlock == nil || !strings.HasSuffix(to.IPBlock.CIDR, "/0") {
					continue
				}
				for _, address := range privateNetworks {
					a, inside := netip.MustParseAddr(address), func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(netip.MustParseAddr(address)) }
					if inside(to.IPBlock.CIDR) && !slices.ContainsFunc(to.IPBlock.Except, inside) {
						faults = append(faults, fmt.Sprintf("%s lets pods reach %s", x, a))
					}
				}
			}
		}
	}
	return faults
}

// proxyFits: the proxy leads to a port of a Service, shows a certificate that somebody is told of, and lets streams through.
func proxyFits(o *overlay) (faults []string) {
	for _, x := range o.of("Ingress") {
		spec := decode[struct {
			TLS   []struct{ SecretName string }
			Rules []struct {
				HTTP struct {
					Paths []struct {
						Backend struct {
							Service struct {
								Name string
								Port struct{ Name string }
							}
						}
					}
				}
			}
		}](x)
		for _, r := range spec.Rules {
			for _, p := range r.HTTP.Paths {
				to, ok := o.find("Service", x.Metadata.Namespace, p.Backend.Service.Name)
				named := func(q servicePort) bool { return q.Name == p.Backend.Service.Port.Name }
				if !ok || !slices.ContainsFunc(decode[service](to).Ports, named) {
					faults = append(faults, x.String()+" leads nowhere")
				}
			}
		}
		for _, t := range spec.TLS {
			if _, ok := o.secret(x.Metadata.Namespace, t.SecretName); !ok {
				faults = append(faults, fmt.Sprintf("%s: nobody is told of secret %s", x, t.SecretName))
			}
		}
		if len(spec.TLS) == 0 {
			faults = append(faults, x.String()+" has no TLS")
		}
		if x.Metadata.Annotations["nginx.ingress.kubernetes.io/proxy-buffering"] != "off" {
			faults = append(faults, x.String()+" gathers event streams")
		}
	}
	return faults
}

// monitorsFit: Prometheus finds every server of ours.
func monitorsFit(o *overlay) (faults []string) {
	for _, x := range o.of("PodMonitor") {
		spec := decode[struct {
			Selector            selector
			PodMetricsEndpoints []struct{ Port, Path string }
		}](x)
		watched := map[string]bool{}
		for _, w := range o.pods(x.Metadata.Namespace, spec.Selector) {
			watched[w.String()] = true
			for _, e := range spec.PodMetricsEndpoints {
				if w.port(e.Port) == 0 || e.Path != "/metrics" {
					faults = append(faults, fmt.Sprintf("%s: %s has no port %s with %s", x, w, e.Port, e.Path))
				}
			}
		}
		for _, w := range o.workloads() {
			if p, _, ok := o.run(w); ok && (p.command == "api" || p.command == "worker") && !watched[w.String()] {
				faults = append(faults, fmt.Sprintf("%s does not find %s", x, w))
			}
		}
	}
	return faults
}
