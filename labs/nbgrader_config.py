"""Settings of nbgrader: source with solutions, release for students."""

c = get_config()  # noqa: F821  (given by nbgrader)
c.CourseDirectory.course_id = "qlab"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__"]
c.ClearSolutions.code_stub = {
    "python": "# YOUR CODE HERE\nraise NotImplementedError()"
}
