package kube

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/api"
	"sluice/worker"
)

// podsAreRestricted: the Restricted Pod Security Standard holds for all pods, and what we ask of them besides: no token, no
// variables for services, a root that is only read, bounded memory.
func podsAreRestricted(o *overlay) (faults []string) {
	for _, n := range o.of("Namespace") {
		if n.Metadata.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			faults = append(faults, n.String()+" does not enforce the restricted standard")
		}
	}
	for _, w := range o.workloads() {
		for _, fault := range restricted(o, w) {
			faults = append(faults, w.String()+": "+fault)
		}
	}
	return faults
}

func restricted(o *overlay, w workload) (faults []string) {
	p := w.pod()
	refuse := func(when bool, text string, args ...any) {
		if when {
			faults = append(faults, fmt.Sprintf(text, args...))
		}
	}
	refuse(p.HostNetwork || p.HostPID || p.HostIPC, "shares something of its node")
	refuse(!is(p.AutomountServiceAccountToken, false), "gets a token")
	refuse(!is(p.EnableServiceLinks, false), "gets variables for services")
	refuse(p.SecurityContext.SeccompProfile.Type != "RuntimeDefault", "has no seccomp profile")
	refuse(!is(p.SecurityContext.RunAsNonRoot, true), "may run as root")
	refuse(p.SecurityContext.RunAsUser == nil || *p.SecurityContext.RunAsUser == 0, "has no user")
	if p.ServiceAccountName != "" {
		_, ok := o.find("ServiceAccount", w.Metadata.Namespace, p.ServiceAccountName)
		refuse(!ok, "has service account %s, which is not there", p.ServiceAccountName)
	}
	for _, v := range p.volumes() {
		refuse(!slices.Contains([]string{"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, v.kind), "has a volume of kind %s", v.kind)
	}
	for _, c := range w.containers() {
		s := c.SecurityContext
		refuse(s.Privileged || !is(s.AllowPrivilegeEscalation, false), "container %s may gain rights", c.Name)
		refuse(!is(s.ReadOnlyRootFilesystem, true), "container %s may write to its root", c.Name)
		refuse(!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || len(s.Capabilities.Add) > 0, "container %s has capabilities", c.Name)
		refuse(is(s.RunAsNonRoot, false) || s.RunAsUser != nil && *s.RunAsUser == 0, "container %s may run as root", c.Name)
		refuse(c.Resources.Limits["memory"] == nil || c.Resources.Requests["memory"] == nil || c.Resources.Requests["cpu"] == nil, "container %s lacks a bound", c.Name)
		refuse(strings.HasSuffix(c.Image, ":latest") || !strings.Contains(path.Base(c.Image), ":"), "container %s runs %s, which says no version", c.Name, c.Image)
		for _, p := range c.Ports {
			refuse(p.HostPort != 0, "container %s takes a port of its node", c.Name)
		}
	}
	return faults
}

func is(p *bool, want bool) bool { return p != nil && *p == want }

// volumesAreThere: each mount has its volume, each volume its source, and each file that a setting names is in one.
func volumesAreThere(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		volumes, add := w.pod().volumes(), func(text string, args ...any) { faults = append(faults, w.String()+": "+fmt.Sprintf(text, args...)) }
		for _, claim := range w.spec.VolumeClaimTemplates {
			volumes[claim.Metadata.Name] = volume{name: claim.Metadata.Name, kind: "persistentVolumeClaim"}
		}
		for _, c := range w.containers() {
			for _, m := range c.VolumeMounts {
				if _, ok := volumes[m.Name]; !ok {
					add("container %s mounts %s, which is no volume", c.Name, m.Name)
				}
			}
			env, _ := o.env(w, c)
			for _, name := range []string{"SLUICE_NATS_CREDS", "SLUICE_NATS_SIGNING_KEYS", "SLUICE_NATS_CA"} {
				if file := env[name]; file != "" && !contains(c, volumes, file) {
					add("%s is %s, which is in no volume", name, file)
				}
			}
		}
		for _, v := range volumes {
			secret, ok := o.secret(w.Metadata.Namespace, v.source.SecretName)
			if v.kind == "secret" && !ok {
				add("nobody is told of secret %s", v.source.SecretName)
			}
			for _, item := range v.source.Items {
				if _, ok := secret[item.Key]; !ok {
					add("nobody is told of key %s in secret %s", item.Key, v.source.SecretName)
				}
			}
			if _, ok := o.find("PersistentVolumeClaim", w.Metadata.Namespace, v.source.ClaimName); v.source.ClaimName != "" && !ok {
				add("claims %s, which is not there", v.source.ClaimName)
			}
		}
	}
	return faults
}

// contains reports whether one of the container's volumes brings the file.
func contains(c container, volumes map[string]volume, file string) bool {
	for _, m := range c.VolumeMounts {
		for _, item := range volumes[m.Name].source.Items {
			if path.Join(m.MountPath, item.Path) == file {
				return true
			}
		}
	}
	return false
}

// filesAreShared: what tenants upload outlives a pod, and all api pods have it.
func filesAreShared(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		p, c, ok := o.run(w)
		a, isAPI := p.settings.(*api.Program)
		if !ok || !isAPI || a.API.Files.Endpoint != "" {
			continue
		}
		kept := false
		for _, m := range c.VolumeMounts {
			kept = kept || m.MountPath == a.API.Files.Dir && w.pod().volumes()[m.Name].kind == "persistentVolumeClaim"
		}
		if !kept {
			faults = append(faults, w.String()+" keeps files in neither S3 nor a volume that lasts")
		}
		if w.spec.Replicas == nil || *w.spec.Replicas != 1 {
			faults = append(faults, w.String()+" keeps files in a folder, and is more than one pod")
		}
	}
	return faults
}

// afterDrain is how long a program may take from the end of its limit to its own: a worker hands back and signs off.
const afterDrain = 15 * time.Second

// drainsFit: a pod is killed only after what it may take to stop.
func drainsFit(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		p, c, ok := o.run(w)
		if !ok || w.Kind == "Job" {
			continue
		}
		grace := 30 * time.Second // Kubernetes' own
		if s := w.pod().TerminationGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		pause := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		var limit time.Duration
		switch s := p.settings.(type) {
		case *api.Program:
			limit = s.API.StopLimit
			if pause == 0 {
				faults = append(faults, w.String()+" stops listening while requests are still sent to it")
			}
		case *worker.Program:
			limit = s.Worker.DrainLimit
		default:
			continue
		}
		if need := pause + limit + afterDrain; grace < need {
			faults = append(faults, fmt.Sprintf("%s is killed after %s, and may take %s", w, grace, need))
		}
	}
	return faults
}

// probesFit: our servers are asked on their private port, where the settings put it.
func probesFit(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		for _, c := range w.containers() {
			for _, p := range []*probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
				if p != nil && p.HTTPGet != nil && c.port(p.HTTPGet.Port) == 0 && !number(p.HTTPGet.Port) {
					faults = append(faults, fmt.Sprintf("%s: a probe asks port %v, which container %s has not", w, p.HTTPGet.Port, c.Name))
				}
			}
		}
		p, c, ok := o.run(w)
		if !ok || p.command != "api" && p.command != "worker" {
			continue
		}
		private := listening(p.env["SLUICE_PRIVATE_ADDR"])
		for name, probe := range map[string]*probe{"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
			if probe == nil || probe.HTTPGet == nil || c.port(probe.HTTPGet.Port) != private || !slices.Contains([]string{"/livez", "/readyz"}, probe.HTTPGet.Path) {
				faults = append(faults, fmt.Sprintf("%s: %s is not asked on the private port %d", w, name, private))
			}
		}
		if c.LivenessProbe != nil && c.LivenessProbe.HTTPGet.Path != "/livez" {
			faults = append(faults, w.String()+" is restarted when a server is away")
		}
		if a, ok := p.settings.(*api.Program); ok && c.port("http") != listening(a.API.HTTPAddr) {
			faults = append(faults, fmt.Sprintf("%s listens on %s, not on its port http", w, a.API.HTTPAddr))
		}
		if c.port("private") != private {
			faults = append(faults, fmt.Sprintf("%s: its port private is not %d", w, private))
		}
	}
	return faults
}

func number(port any) bool { _, ok := port.(float64); return ok }

// schemaIsThere: what needs the database waits for its schema, which one Job brings.
func schemaIsThere(o *overlay) (faults []string) {
	jobs := 0
	for _, w := range o.workloads() {
		p, _, ok := o.run(w)
		if ok && p.command == "migrate up" {
			jobs++
		}
		if !ok || p.command != "api" && p.command != "worker" {
			continue
		}
		first := w.pod().InitContainers
		if len(first) == 0 || strings.Join(first[0].Command, " ") != "migrate wait" || first[0].Image != w.pod().Containers[0].Image {
			faults = append(faults, w.String()+" does not wait for its schema")
		}
	}
	if jobs != 1 {
		faults = append(faults, fmt.Sprintf("%d Jobs bring the schema", jobs))
	}
	return faults
}
