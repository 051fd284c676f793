"""A crew of CrewAI that may read notes, under Remit."""

from crewai import Agent, Crew, Task

from remit.adapters.crewai import govern


def notes_crew(llm, tools, guard, **options):
    """Make the crew. Delegation to co-workers is governed with it."""
    clerk = Agent(role="clerk", goal="keep notes", backstory="tidy", llm=llm, tools=tools)
    task = Task(description="Tidy the notes.", expected_output="What was done.", agent=clerk)
    return govern(Crew(agents=[clerk], tasks=[task], **options), guard)


def ask(crew):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return crew.kickoff().raw
