"""nbgrader's settings for notebooks in Rust."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "latentlab"
# What stands in the students' copy for a solution.
c.ClearSolutions.code_stub = {"rust": 'todo!("your code here")'}
# The arguments that nbgrader gives to a Python kernel.
c.Execute.extra_arguments = []
# A cell may train for a while.
c.Execute.timeout = 900
c.Execute.startup_timeout = 600
