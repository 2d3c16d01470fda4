// Package kube checks the Kubernetes files in deployments/k8s without a cluster: its tests render each overlay with Kustomize, in
// the version that kustomize.mod names, hold every object against the schemas of Kubernetes, KEDA and the Prometheus operator
// in testdata (command kubeschema writes them), and see that what the objects say of each other, and of Sluice's programs, is
// true. That a cluster takes the objects, and does what they say, is not tested.
package kube
