package kube

import (
	"encoding/json"
	"fmt"
	"slices"
)

// workload is a Deployment, StatefulSet or Job, with the pods that it makes.
type workload struct {
	object
	spec workloadSpec
}

type workloadSpec struct {
	Replicas *int
	Selector selector
	Template struct {
		Metadata meta
		Spec     podSpec
	}
	VolumeClaimTemplates []struct{ Metadata meta }
}

type podSpec struct {
	ServiceAccountName            string
	AutomountServiceAccountToken  *bool
	EnableServiceLinks            *bool
	HostNetwork, HostPID, HostIPC bool
	TerminationGracePeriodSeconds *int
	SecurityContext               security
	InitContainers, Containers    []container
	Volumes                       []json.RawMessage
	TopologySpreadConstraints     []struct{ LabelSelector selector }
}

type container struct {
	Name, Image                                 string
	Command, Args                               []string
	Ports                                       []port
	Env                                         []env
	EnvFrom                                     []struct{ ConfigMapRef, SecretRef *struct{ Name string } }
	VolumeMounts                                []struct{ Name, MountPath string }
	StartupProbe, ReadinessProbe, LivenessProbe *probe
	SecurityContext                             security
	Resources                                   struct{ Requests, Limits map[string]any }
	Lifecycle                                   struct {
		PreStop struct{ Sleep struct{ Seconds int } }
	}
}

type port struct {
	Name          string
	ContainerPort int
	HostPort      int
}

type env struct {
	Name, Value string
	ValueFrom   *struct {
		SecretKeyRef *struct{ Name, Key string }
	}
}

type probe struct {
	HTTPGet *struct {
		Path string
		Port any
	}
}

type security struct {
	RunAsNonRoot, AllowPrivilegeEscalation, ReadOnlyRootFilesystem *bool
	RunAsUser                                                      *int
	Privileged                                                     bool
	SeccompProfile                                                 struct{ Type string }
	Capabilities                                                   struct{ Add, Drop []string }
}

// volume is what a pod's volume takes its content from.
type volume struct {
	name, kind string // the kind is the field that says where from: secret, configMap, emptyDir …
	source     struct {
		Name, SecretName, ClaimName string
		Items                       []struct{ Key, Path string }
	}
}

func (p podSpec) volumes() map[string]volume {
	all := map[string]volume{}
	for _, raw := range p.Volumes {
		var fields map[string]json.RawMessage
		must(json.Unmarshal(raw, &fields))
		var v volume
		must(json.Unmarshal(fields["name"], &v.name))
		for kind, source := range fields {
			if kind != "name" {
				v.kind = kind
				must(json.Unmarshal(source, &v.source))
			}
		}
		all[v.name] = v
	}
	return all
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (o *overlay) workloads() []workload {
	var all []workload
	for _, x := range o.objects {
		if slices.Contains([]string{"Deployment", "StatefulSet", "Job"}, x.Kind) {
			all = append(all, workload{x, decode[workloadSpec](x)})
		}
	}
	return all
}

// pods returns the workloads in the namespace whose pods s chooses.
func (o *overlay) pods(namespace string, s selector) []workload {
	return slices.DeleteFunc(o.workloads(), func(w workload) bool {
		return w.Metadata.Namespace != namespace || !s.takes(w.spec.Template.Metadata.Labels)
	})
}

func (w workload) pod() podSpec { return w.spec.Template.Spec }

func (w workload) containers() []container {
	return slices.Concat(w.pod().InitContainers, w.pod().Containers)
}

// port returns the number of one of the pod's ports, which is named or numbered; 0: it has none of that name.
func (w workload) port(id any) int {
	for _, c := range w.pod().Containers {
		if n := c.port(id); n > 0 {
			return n
		}
	}
	return 0
}

func (c container) port(id any) int {
	for _, p := range c.Ports {
		if p.Name == fmt.Sprint(id) || fmt.Sprint(p.ContainerPort) == fmt.Sprint(id) {
			return p.ContainerPort
		}
	}
	return 0
}

// env returns a container's whole environment, and what of it is not there.
func (o *overlay) env(w workload, c container) (values map[string]string, faults []string) {
	values = map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil {
			faults = append(faults, "takes its environment from more than a ConfigMap")
			continue
		}
		settings, ok := o.settings(w.Metadata.Namespace, from.ConfigMapRef.Name)
		if !ok {
			faults = append(faults, "ConfigMap "+from.ConfigMapRef.Name+" is not there")
		}
		for name, value := range settings {
			values[name] = value
		}
	}
	for _, e := range c.Env {
		values[e.Name] = e.Value
		if e.ValueFrom == nil {
			continue
		}
		if e.ValueFrom.SecretKeyRef == nil {
			faults = append(faults, e.Name+" comes from something else than a secret")
			continue
		}
		ref := e.ValueFrom.SecretKeyRef
		secret, ok := o.secret(w.Metadata.Namespace, ref.Name)
		if _, has := secret[ref.Key]; !ok || !has {
			faults = append(faults, fmt.Sprintf("%s: nobody is told of secret %s with key %s", e.Name, ref.Name, ref.Key))
		}
		values[e.Name] = secret[ref.Key]
	}
	return values, faults
}
