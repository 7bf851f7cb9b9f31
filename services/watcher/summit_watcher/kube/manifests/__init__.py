"""The parts of KubeVirt's manifests that we read, a module per kind. What is not named here is skipped unread.

So decoding is fast (a third of a line is managedFields), and secrets stay out of this process (cloud-init user data,
annotations). Every member may be absent or null: KubeVirt's CRDs have 78 nullable fields, and `omitempty`
leaves out what is false, zero or empty.
"""
